package upstream

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// maxStreams is how many requests one connection carries at most, whatever its peer allows. It
	// is below the limit of net/http's server, 250, which counts a stream for a moment after its
	// end and resets a stream above the limit with PROTOCOL_ERROR. That does not prove it
	// unprocessed.
	maxStreams = 240
	// settingsPatience is how long a new HTTP/2 connection may take to say how many requests it
	// takes, before more connections are made.
	settingsPatience = time.Second
	// idleLimit is how long a connection without requests is kept.
	idleLimit = 90 * time.Second
	// checkInterval is how often a connection is checked: for a dead path while it carries
	// requests, for its idle time otherwise.
	checkInterval = pingAfter
)

// Pool keeps the connections to one upstream. It is safe for concurrent use.
type Pool struct {
	dialer *dialer
	ctx    context.Context // ends all work
	cancel context.CancelFunc
	work   sync.WaitGroup // dials and pings

	mu      sync.Mutex // held only to count
	conns   map[*Conn]struct{}
	ready   []*Conn   // those with a free slot, the latest used last
	waiters []*waiter // the oldest first
	arrived uint64    // number of the last waiter
	dialing int       // connections that are being made, or whose limit is not known yet
	made    uint64    // number of the last connection
	streams int       // limit of the last connection that reported one; 0: none yet
	retired bool
}

// slots is what the pool knows about a connection. Between add and drop, a connection with a free
// slot gets new requests unless it is in one of these states:
//
//	state      because                                          until
//	leaving    GOAWAY, FIN, a refused stream, too many resets   its last request ends, which closes it
//	suspected  the response to a ping is overdue                the peer responds, or it is closed
type slots struct {
	inUse, limit int           // limit: how many requests the peer takes
	settled      chan struct{} // closed when limit is known
	pooled       bool          // is in conns
	leaving      bool
	suspected    bool
	isReady      bool          // is in ready
	pinged       chan struct{} // closed at the end of the ping under way; nil: no ping
	check        *time.Timer   // from add to drop; see Pool.check
	resets       *rate.Limiter
	resetting    int // slots whose requests were cancelled; see releaseReset
	lastUsed     time.Time
}

// waiter is a request that waits for a connection.
type waiter struct {
	number uint64
	result chan connResult // of size 1
}

type connResult struct {
	conn *Conn
	err  error
}

// New returns a pool that has not connected yet. It fails if the certificates cannot be used.
func New(c Config) (*Pool, error) {
	d, err := newDialer(c)
	if err != nil {
		return nil, err
	}
	p := &Pool{dialer: d, conns: make(map[*Conn]struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if c.URL.Scheme == "http" {
		p.streams = 1
	}
	return p, nil
}

// Get returns a connection with a slot for one request. If it must wait, which connect_timeout
// bounds, it calls wait first, possibly more than once. The error is a [*ConnectError], or the
// cause of ctx.
func (p *Pool) Get(ctx context.Context, wait func()) (*Conn, error) {
	deadline := time.Now().Add(p.dialer.ConnectTimeout + settingsPatience)
	for {
		c, err := p.get(ctx, deadline, wait)
		fit := err == nil && c.fit(ctx, wait)
		switch {
		case ctx.Err() == nil && err != nil:
			return nil, &ConnectError{unsentError{err}}
		case ctx.Err() == nil && fit:
			return c, nil
		case c != nil:
			c.Release()
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// get takes a free slot, or waits for one.
func (p *Pool) get(ctx context.Context, deadline time.Time, wait func()) (*Conn, error) {
	p.mu.Lock()
	if c := p.reserve(); c != nil {
		p.mu.Unlock()
		return c, nil
	}
	if p.ctx.Err() != nil {
		p.mu.Unlock()
		return nil, errClosed
	}
	p.arrived++
	w := &waiter{number: p.arrived, result: make(chan connResult, 1)}
	p.waiters = append(p.waiters, w)
	p.startDials()
	p.mu.Unlock()
	wait()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case r := <-w.result:
		return r.conn, r.err
	case <-timer.C:
		p.forget(w) // a dial that began before this request, and one after it, may take longer
		return nil, ErrConnectTimeout
	case <-ctx.Done():
		p.forget(w)
		return nil, context.Cause(ctx)
	}
}

// forget removes a waiter, and frees the slot that it may have got meanwhile.
func (p *Pool) forget(w *waiter) {
	p.mu.Lock()
	if i := slices.Index(p.waiters, w); i >= 0 {
		p.waiters = slices.Delete(p.waiters, i, i+1)
	}
	p.mu.Unlock()
	select {
	case r := <-w.result:
		if r.err == nil {
			r.conn.Release()
		}
	default:
	}
}

// reserve takes a free slot, or returns nil. The caller holds mu.
func (p *Pool) reserve() *Conn {
	if len(p.ready) == 0 {
		return nil
	}
	c := p.ready[len(p.ready)-1]
	c.inUse++
	p.update(c)
	return c
}

// update adds c to ready or removes it. The caller holds mu.
func (p *Pool) update(c *Conn) {
	free := c.pooled && !c.leaving && !c.suspected && c.inUse < c.limit
	switch {
	case free && !c.isReady:
		p.ready = append(p.ready, c)
	case !free && c.isReady:
		if i := slices.Index(p.ready, c); i >= 0 {
			p.ready = slices.Delete(p.ready, i, i+1)
		}
	}
	c.isReady = free
}

// handOut gives free slots to waiters. The caller holds mu.
func (p *Pool) handOut() {
	for len(p.waiters) > 0 {
		c := p.reserve()
		if c == nil {
			return
		}
		p.waiters[0].result <- connResult{conn: c}
		p.waiters = p.waiters[1:]
	}
}

// startDials starts as many dials as the waiters need. The caller holds mu.
func (p *Pool) startDials() {
	if p.ctx.Err() != nil {
		return
	}
	wanted := min(len(p.waiters), 1)
	if p.streams > 0 {
		wanted = (len(p.waiters) + p.streams - 1) / p.streams
	}
	for ; p.dialing < wanted; p.dialing++ {
		asked := p.arrived
		p.work.Go(func() { p.connect(asked) })
	}
}

// connect makes one connection, for the waiters up to number asked.
func (p *Pool) connect(asked uint64) {
	c := newConn(p)
	err := p.dialer.dial(p.ctx, c)
	if err == nil {
		p.add(c)
		err = p.settle(c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing--
	if err != nil {
		p.refuse(asked, err) // otherwise dials would go on for ever
	}
	p.startDials()
}

// add adds a new connection.
func (p *Pool) add(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made++
	c.number, c.lastUsed = p.made, time.Now()
	c.pooled = true
	p.conns[c] = struct{}{}
	if !c.http2 {
		p.streams = 1
		p.settled(c)
	}
	p.update(c)
	p.handOut()
	c.check = time.AfterFunc(checkInterval, func() { p.check(c) })
}

// settle waits until the limit of c is known, at most settingsPatience. It fails if c takes no
// request.
func (p *Pool) settle(c *Conn) error {
	timer := time.NewTimer(settingsPatience)
	defer timer.Stop()
	select {
	case <-c.settled:
	case <-timer.C:
	case <-p.ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.streams = max(p.streams, 1)
	if c.limit == 0 || c.leaving && c.inUse == 0 && c.uses.Load() == 0 {
		return errShortLived
	}
	return nil
}

// setLimit is called when the peer of c says how many streams it takes.
func (p *Pool) setLimit(c *Conn, limit uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.limit = int(min(limit, maxStreams))
	if c.limit > 0 { // after 0, a larger limit may follow
		p.streams = c.limit
		p.settled(c)
	}
	p.update(c)
	p.handOut()
}

// settled ends the wait of settle. The caller holds mu.
func (p *Pool) settled(c *Conn) {
	select {
	case <-c.settled:
	default:
		close(c.settled)
	}
}

// leave keeps new requests from c. Requests on it continue.
func (p *Pool) leave(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left(c)
}

// refused is called when the peer of c refused a stream. If c carries other requests, it gets no
// new one: the next attempt would be refused as well.
func (p *Pool) refused(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.inUse > 1 {
		p.left(c)
	}
}

func (p *Pool) left(c *Conn) {
	c.leaving = true
	p.settled(c)
	p.update(c)
}

// lost is called when nothing more can be read from c.
func (p *Pool) lost(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(c)
	p.startDials()
}

// drop removes c from the pool. The caller holds mu, and closes c without it.
func (p *Pool) drop(c *Conn) {
	c.pooled, c.leaving = false, true
	delete(p.conns, c)
	p.settled(c)
	p.update(c)
	if c.check != nil {
		c.check.Stop()
	}
}

// remove closes c and removes it from the pool.
func (p *Pool) remove(c *Conn) {
	p.mu.Lock()
	p.drop(c)
	p.mu.Unlock()
	_ = c.client.Close() // it is not used again
}

// release frees a slot. usable reports whether c can take another request.
func (p *Pool) release(c *Conn, usable bool) {
	p.mu.Lock()
	c.inUse--
	c.lastUsed = time.Now()
	if !usable {
		c.leaving = true
	}
	done := c.inUse == 0 && (c.leaving || p.retired && len(p.waiters) == 0)
	if done {
		p.drop(c)
	}
	p.update(c)
	p.handOut()
	p.startDials()
	p.mu.Unlock()
	if done {
		_ = c.client.Close() // nothing is on it
	}
}

// check runs every checkInterval. It closes a connection that was idle for too long, and pings the
// peer of a silent HTTP/2 connection that carries requests.
func (p *Pool) check(c *Conn) {
	silence := c.wire.silence()
	p.mu.Lock()
	next := checkInterval
	switch idle := c.inUse == 0; {
	case idle && time.Since(c.lastUsed) >= idleLimit:
		p.drop(c)
		p.mu.Unlock()
		_ = c.client.Close() // nothing is on it
		return
	case idle || !c.http2:
	case silence >= pingAfter:
		p.ping(c)
	default:
		next -= silence
	}
	if c.pooled {
		c.check.Reset(next)
	}
	p.mu.Unlock()
}

// Retire closes each connection as soon as it carries no request. Requests that hold this pool may
// still use it.
func (p *Pool) Retire() {
	p.mu.Lock()
	p.retired = true
	p.mu.Unlock()
	p.closeAll(func(c *Conn) bool { return c.inUse == 0 })
}

// Close ends all dials and connections, and waits for their goroutines.
func (p *Pool) Close() {
	p.cancel()
	p.closeAll(func(*Conn) bool { return true })
	p.work.Wait()
}

// closeAll closes the connections for which which returns true. It calls which with the lock held.
func (p *Pool) closeAll(which func(*Conn) bool) {
	p.mu.Lock()
	var chosen []*Conn
	for c := range p.conns {
		if which(c) {
			p.drop(c)
			chosen = append(chosen, c)
		}
	}
	p.mu.Unlock()
	for _, c := range chosen {
		_ = c.client.Close() // it carries nothing, or the pool is closed
	}
}

// refuse fails the waiters that a failed dial was for: the oldest ones, as many as one connection
// carries, up to number asked. The caller holds mu.
func (p *Pool) refuse(asked uint64, err error) {
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
