package proxy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// idleLimit is how long a connection without requests is kept.
	idleLimit = 90 * time.Second
	// idleSweep is how often such connections are looked for.
	idleSweep = 30 * time.Second
)

// errStillborn is why a request got no connection although one was made.
var errStillborn = errors.New("the upstream closes new connections at once")

// pool keeps the connections to one upstream. It never sends anything: a request
// that got a connection is sent on it once, by its owner. http.Transport's own pool
// would send some requests again behind our back.
//
// A request is never held up by the number of connections, which the number of
// admitted requests bounds, but only by the making of one. Over HTTP/2 one
// connection that is being made serves as many waiting requests as the latest
// one could carry.
type pool struct {
	dialer *dialer
	ctx    context.Context // of all dials
	cancel context.CancelFunc
	work   sync.WaitGroup // dials

	mu      sync.Mutex
	conns   map[*upstreamConn]struct{}
	ready   []*upstreamConn // those believed to take one more request, the latest used last
	waiters []*waiter       // the oldest first
	arrived uint64          // waiters ever
	dialing int
	made    uint64 // connections ever
	streams int    // that one connection carries; 0 is not yet known
	retired bool
	sweep   *time.Timer

	// notes are connections whose state changed. The hook that tells so can run
	// while mu is held, in a call made under it: it leaves a note, and whoever
	// unlocks mu reads it.
	notesMu sync.Mutex
	notes   []*upstreamConn
}

// waiter is a request that waits for a connection.
type waiter struct {
	number uint64
	result chan connResult // of size 1
}

type connResult struct {
	conn *upstreamConn
	err  error
}

func newPool(d *dialer) *pool {
	p := &pool{dialer: d, conns: make(map[*upstreamConn]struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if d.scheme == "http" {
		p.streams = 1
	}
	return p
}

// get gives a connection with a place reserved on it: exactly one RoundTrip or
// Release must follow. wait is called once if there is a wait at all.
func (p *pool) get(ctx context.Context, wait func()) (*upstreamConn, error) {
	p.mu.Lock()
	if c := p.reserve(); c != nil {
		p.unlock()
		return c, nil
	}
	p.arrived++
	w := &waiter{number: p.arrived, result: make(chan connResult, 1)}
	p.waiters = append(p.waiters, w)
	p.startDials()
	p.unlock()
	wait()
	select {
	case r := <-w.result:
		return p.receive(ctx, r)
	case <-ctx.Done():
		p.forget(w)
		return nil, context.Cause(ctx)
	}
}

// receive looks whether the client left while the connection was made.
func (p *pool) receive(ctx context.Context, r connResult) (*upstreamConn, error) {
	if r.err == nil && ctx.Err() != nil {
		r.conn.cc.Release()
		return nil, context.Cause(ctx)
	}
	return r.conn, r.err
}

// forget drops a waiter whose request ended.
func (p *pool) forget(w *waiter) {
	p.mu.Lock()
	if i := slices.Index(p.waiters, w); i >= 0 {
		p.waiters = slices.Delete(p.waiters, i, i+1)
	}
	p.unlock()
	select {
	case r := <-w.result:
		if r.err == nil {
			r.conn.cc.Release()
		}
	default:
	}
}

// reserve takes a place on a ready connection, or gives nil. The caller holds mu.
func (p *pool) reserve() *upstreamConn {
	for len(p.ready) > 0 {
		c := p.ready[len(p.ready)-1]
		if c.spent() {
			p.remove(c)
			continue
		}
		err := c.cc.Reserve()
		if err != nil || c.cc.Available() == 0 {
			c.isReady = false
			p.ready = p.ready[:len(p.ready)-1]
		}
		if err == nil {
			c.lastUsed = time.Now()
			return c
		}
	}
	return nil
}

// startDials makes as many connections as those who wait need. The caller holds mu.
func (p *pool) startDials() {
	wanted := min(len(p.waiters), 1)
	if p.streams > 0 {
		wanted = (len(p.waiters) + p.streams - 1) / p.streams
	}
	for ; p.dialing < wanted; p.dialing++ {
		asked := p.arrived
		p.work.Go(func() { p.connect(asked) })
	}
}

// connect makes one connection for those who had come when it was asked for.
func (p *pool) connect(asked uint64) {
	c, err := p.dialer.dial(p.ctx)
	p.mu.Lock()
	p.dialing--
	before := len(p.waiters)
	if err == nil {
		p.add(c)
		err = errStillborn
	}
	p.handOut()
	if len(p.waiters) == before {
		p.refuse(asked, err) // or they would dial for ever
	}
	p.startDials()
	p.unlock()
}

// add takes a new connection in. The caller holds mu.
func (p *pool) add(c *upstreamConn) {
	p.streams = max(1, c.cc.Available())
	p.made++
	c.number = p.made
	c.lastUsed = time.Now()
	p.conns[c] = struct{}{}
	p.push(c)
	c.cc.SetStateHook(func(*http.ClientConn) { p.note(c) }) // before anybody can use it
	if p.sweep == nil {
		p.sweep = time.AfterFunc(idleSweep, p.closeIdle)
	}
}

// refuse tells a failed dial to those it was made for: the oldest, as many as one
// connection carries, but none that came after it began. The caller holds mu.
func (p *pool) refuse(asked uint64, err error) {
	n := len(p.waiters)
	if p.streams > 0 {
		n = min(n, p.streams)
	}
	for n > 0 && p.waiters[0].number <= asked {
		p.waiters[0].result <- connResult{err: err}
		p.waiters = p.waiters[1:]
		n--
	}
}

// handOut serves those who wait. The caller holds mu.
func (p *pool) handOut() {
	for len(p.waiters) > 0 {
		c := p.reserve()
		if c == nil {
			return
		}
		p.waiters[0].result <- connResult{conn: c}
		p.waiters = p.waiters[1:]
	}
}

func (p *pool) push(c *upstreamConn) {
	if !c.isReady {
		c.isReady = true
		p.ready = append(p.ready, c)
	}
}

// note is the state hook of c.
func (p *pool) note(c *upstreamConn) {
	p.notesMu.Lock()
	p.notes = append(p.notes, c)
	p.notesMu.Unlock()
	if p.mu.TryLock() {
		p.unlock()
	}
}

// unlock reads the notes, then unlocks mu. A note left in between is read by its
// writer, who finds mu free.
func (p *pool) unlock() {
	for {
		for _, c := range p.takeNotes() {
			p.update(c)
		}
		p.mu.Unlock()
		if !p.hasNotes() || !p.mu.TryLock() {
			return
		}
	}
}

func (p *pool) takeNotes() []*upstreamConn {
	p.notesMu.Lock()
	defer p.notesMu.Unlock()
	notes := p.notes
	p.notes = nil
	return notes
}

func (p *pool) hasNotes() bool {
	p.notesMu.Lock()
	defer p.notesMu.Unlock()
	return len(p.notes) > 0
}

// update looks at a connection whose state changed. The caller holds mu.
func (p *pool) update(c *upstreamConn) {
	switch {
	case c.cc.Err() != nil:
		p.remove(c)
		p.startDials()
	case p.retired && c.cc.InFlight() == 0 && len(p.waiters) == 0:
		p.remove(c)
	case c.worn:
		if c.cc.InFlight() == 0 {
			p.remove(c)
		}
	case c.cc.Available() > 0:
		c.lastUsed = time.Now()
		p.push(c)
		p.handOut()
	}
}

// cancelled counts a request that its client cancelled on c. Past what servers tolerate, c gets
// no more requests and is closed when those on it have ended.
func (p *pool) cancelled(c *upstreamConn) {
	if !c.http2 {
		return // the connection is closed already, and nobody else was on it
	}
	p.mu.Lock()
	defer p.unlock()
	now := time.Now()
	c.resets = c.resets.add(now, connBurst, connInterval)
	if c.resets.over(now, connBurst, connInterval) {
		c.worn = true
		p.unready(c)
		p.update(c)
	}
}

// unready has c get no more requests. The caller holds mu.
func (p *pool) unready(c *upstreamConn) {
	if i := slices.Index(p.ready, c); i >= 0 {
		p.ready = slices.Delete(p.ready, i, i+1)
		c.isReady = false
	}
}

// remove closes c and lets go of it. The caller holds mu.
func (p *pool) remove(c *upstreamConn) {
	delete(p.conns, c)
	p.unready(c)
	_ = c.cc.Close() // it is of no more use, whatever that says
}

// closeIdle is the timer's.
func (p *pool) closeIdle() {
	p.mu.Lock()
	defer p.unlock()
	for c := range p.conns {
		if c.cc.InFlight() == 0 && (p.retired || time.Since(c.lastUsed) >= idleLimit) {
			p.remove(c)
		}
	}
	p.stopSweep()
	if len(p.conns) > 0 {
		p.sweep = time.AfterFunc(idleSweep, p.closeIdle)
	}
}

func (p *pool) stopSweep() {
	if p.sweep != nil {
		p.sweep.Stop()
		p.sweep = nil
	}
}

// retire closes connections as soon as they carry nothing. Requests that still
// hold this pool may go on using it.
func (p *pool) retire() {
	p.mu.Lock()
	p.retired = true
	p.unlock()
	p.closeIdle()
}

// close ends dials and connections and waits for the dials.
func (p *pool) close() {
	p.cancel()
	p.work.Wait()
	p.mu.Lock()
	defer p.unlock()
	for c := range p.conns {
		p.remove(c)
	}
	p.stopSweep()
}
