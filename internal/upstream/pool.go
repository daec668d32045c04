package upstream

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// maxStreams is how many requests one connection carries at most, whatever its peer allows. It
	// stays below 250, where net/http's server resets the excess with PROTOCOL_ERROR, after which a
	// retry would not be safe. That server counts a stream for a moment after its end.
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
	work   sync.WaitGroup // dials, pings and closes

	mu      sync.Mutex // held only to count
	conns   []*Conn    // the newest last
	waiters []waiter   // the oldest first
	dialing int        // connections that are being made, or whose limit is not known yet
	made    uint64     // number of the last connection
	streams int        // limit of the last connection that reported one; 0: none yet
	retired bool
}

// waiter is a request that waits for a connection. It gets one result.
type waiter chan connResult // of size 1

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
	p := &Pool{dialer: d}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if c.UpstreamURL.Scheme == "http" {
		p.streams = 1
	}
	return p, nil
}

// Get returns a connection with a slot for one request. It may wait, which connect_timeout bounds.
// The error is a [*ConnectError], or the cause of ctx.
func (p *Pool) Get(ctx context.Context) (*Conn, error) {
	deadline := time.Now().Add(p.dialer.ConnectTimeout + settingsPatience)
	for {
		c, err := p.get(ctx, deadline)
		if err == nil && c.fit(ctx) && ctx.Err() == nil {
			return c, nil
		}
		if c != nil {
			c.Release()
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, &ConnectError{unsentError{err}}
		}
	}
}

// get takes a free slot, or waits for one until deadline: a peer that ends each connection after a
// few requests keeps others waiting.
func (p *Pool) get(ctx context.Context, deadline time.Time) (*Conn, error) {
	p.mu.Lock()
	if c := p.reserve(); c != nil {
		p.mu.Unlock()
		return c, nil
	}
	if p.ctx.Err() != nil {
		p.mu.Unlock()
		return nil, errClosed
	}
	w := make(waiter, 1)
	p.waiters = append(p.waiters, w)
	p.serveWaiters()
	p.mu.Unlock()
	ctx, cancel := context.WithDeadlineCause(ctx, deadline, ErrConnectTimeout)
	defer cancel()
	select {
	case r := <-w:
		return r.conn, r.err
	case <-ctx.Done():
		p.giveUp(w)
		return nil, context.Cause(ctx)
	}
}

// giveUp removes a waiter, and frees the slot that it may have got meanwhile.
func (p *Pool) giveUp(w waiter) {
	p.mu.Lock()
	p.waiters = slices.DeleteFunc(p.waiters, func(other waiter) bool { return other == w })
	p.mu.Unlock()
	select {
	case r := <-w:
		if r.err == nil {
			r.conn.Release()
		}
	default:
	}
}

// reserve takes a free slot, or returns nil. It prefers the newest connection, so that others
// become idle and are closed. The caller holds mu.
func (p *Pool) reserve() *Conn {
	for _, c := range slices.Backward(p.conns) {
		if !c.draining && !c.suspected && c.inUse < c.limit {
			c.inUse++
			return c
		}
	}
	return nil
}

// serveWaiters gives free slots to waiters, and starts as many dials as the others need. It is
// called whenever one of these may have changed. The caller holds mu.
func (p *Pool) serveWaiters() {
	for len(p.waiters) > 0 {
		c := p.reserve()
		if c == nil {
			break
		}
		p.waiters[0] <- connResult{conn: c}
		p.waiters = p.waiters[1:]
	}
	if p.ctx.Err() != nil {
		return
	}
	wanted := min(len(p.waiters), 1)
	if p.streams > 0 {
		wanted = (len(p.waiters) + p.streams - 1) / p.streams
	}
	for ; p.dialing < wanted; p.dialing++ {
		p.work.Go(p.connect)
	}
}

func (p *Pool) connect() {
	c := newConn(p)
	err := p.dialer.dial(p.ctx, c)
	if err == nil {
		p.add(c)
		err = p.awaitLimit(c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing--
	if err != nil {
		p.failWaiters(err) // otherwise dials would go on for ever
	}
	p.serveWaiters()
}

func (p *Pool) add(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made++
	c.number, c.lastUsed = p.made, time.Now()
	p.conns = append(p.conns, c)
	c.check = time.AfterFunc(checkInterval, func() { p.check(c) })
	if !c.http2 {
		p.streams = 1
		c.settle()
	}
	if p.ctx.Err() != nil {
		p.dropLocked(c)
	}
	p.serveWaiters()
}

// awaitLimit waits until the limit of c is known, at most settingsPatience. It fails if c takes no
// request.
func (p *Pool) awaitLimit(c *Conn) error {
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
	if c.limit == 0 || c.draining && c.inUse == 0 && c.uses.Load() == 0 {
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
		c.settle()
	}
	p.serveWaiters()
}

// drain keeps new requests from c. Requests on it continue.
func (p *Pool) drain(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.draining = true
	c.settle()
}

// streamRefused is called when the peer of c refused a stream. If c carries other requests, it gets
// no new one: the next attempt would be refused as well.
func (p *Pool) streamRefused(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.draining = c.draining || c.inUse > 1
}

// lost is called when nothing more can be read from c. net/http closes it.
func (p *Pool) lost(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(c)
	p.serveWaiters()
}

// forget removes c from the pool, and reports whether it was there. The caller holds mu.
func (p *Pool) forget(c *Conn) bool {
	c.draining = true
	c.settle()
	i := slices.Index(p.conns, c)
	if i < 0 {
		return false
	}
	p.conns = slices.Delete(p.conns, i, i+1)
	c.check.Stop()
	return true
}

// dropLocked removes c from the pool and closes it, in a goroutine, because that may wait for the
// peer. The caller holds mu.
func (p *Pool) dropLocked(c *Conn) {
	if p.forget(c) {
		p.work.Go(func() { _ = c.client.Close() }) // it is not used again
	}
}

// drop is dropLocked for a caller that does not hold mu.
func (p *Pool) drop(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked(c)
}

// release frees a slot. usable reports whether c can take another request.
func (p *Pool) release(c *Conn, usable bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.inUse--
	c.lastUsed = time.Now()
	c.draining = c.draining || !usable
	if c.inUse == 0 && (c.draining || p.retired && len(p.waiters) == 0) {
		p.dropLocked(c)
	}
	p.serveWaiters()
}

// check runs every checkInterval. It closes a connection that was idle for too long, and pings the
// peer of a silent HTTP/2 connection that carries requests.
func (p *Pool) check(c *Conn) {
	silence := c.wire.silence()
	p.mu.Lock()
	defer p.mu.Unlock()
	next := checkInterval
	switch idle := c.inUse == 0; {
	case idle && time.Since(c.lastUsed) >= idleLimit:
		p.dropLocked(c)
	case idle || !c.http2:
	case silence >= pingAfter:
		p.ping(c)
	default:
		next -= silence
	}
	if slices.Contains(p.conns, c) {
		c.check.Reset(next)
	}
}

// Retire closes each connection as soon as it carries no request. Requests that hold this pool may
// still use it.
func (p *Pool) Retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired = true
	for _, c := range slices.Clone(p.conns) {
		if c.inUse == 0 {
			p.dropLocked(c)
		}
	}
}

// Close ends all dials and connections, and waits for their goroutines.
func (p *Pool) Close() {
	p.cancel()
	p.mu.Lock()
	for _, c := range slices.Clone(p.conns) {
		p.dropLocked(c)
	}
	p.mu.Unlock()
	p.work.Wait()
}

// failWaiters fails the oldest waiters, as many as the connection that was not made would have
// carried. The caller holds mu.
func (p *Pool) failWaiters(err error) {
	n := len(p.waiters)
	if p.streams > 0 {
		n = min(n, p.streams)
	}
	for _, w := range p.waiters[:n] {
		w <- connResult{err: err}
	}
	p.waiters = p.waiters[n:]
}
