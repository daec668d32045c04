package upstream

import (
	"context"
	"net/http"
	"time"

	"oauth-proxyd/internal/kernel"
)

const (
	// An HTTP/2 connection silent for quietTime must respond to a ping before its next request.
	quietTime = 2 * time.Second
	// pingPatience is how long a request waits for that response, in addition to the time that it
	// took to connect, which tells how far the peer is.
	pingPatience = time.Second
	// pingAfter and pingTimeout bound the time on a dead path. A connection with requests and
	// without a byte for pingAfter is pinged, and closed if no byte comes within pingTimeout.
	pingAfter   = 10 * time.Second
	pingTimeout = 15 * time.Second
	// resetBurst and resetRate, in resets a second, limit the cancelled requests of a connection:
	// at most 124 in any 30 s, fewer than any server takes for an attack (CVE-2023-44487). A
	// connection beyond that gets no further request.
	resetBurst = 64
	resetRate  = 2
	// resetTime is how long a cancelled HTTP/2 request keeps its slot; see frames. net/http writes
	// the reset of a stream some milliseconds after RoundTrip has returned, and does not report it.
	// If it is blocked for longer, new streams are blocked as well.
	resetTime = time.Second
)

// fit reports whether the connection can take a request now. It may wait for the response to a
// ping. With [Pool.check], this keeps requests off dead connections:
//
//	asked by  about     finds                            then the connection
//	fit       HTTP/1.1  an end, bytes without a request  is closed
//	fit       HTTP/1.1  silence for idleLimit            is closed
//	fit       HTTP/2    an end                           finishes its requests
//	fit       HTTP/2    silence for quietTime            is pinged, and suspected if that takes long
//	check     HTTP/2    silence for pingAfter            is pinged, and closed if no byte comes
//	check     both      no request for idleLimit         is closed
func (c *Conn) fit(ctx context.Context) bool {
	switch {
	case c.client.Err() != nil, !c.http2 && c.stale():
		c.pool.drop(c)
		return false
	case c.http2 && kernel.HungUp(c.wire.tcp):
		c.pool.drain(c) // requests on it may still read their responses
		return false
	case c.http2 && c.uses.Load() > 0 && c.wire.silence() >= quietTime:
		return c.responds(ctx)
	}
	return true
}

// stale reports whether a kept connection of HTTP/1.1 has ended, is too old, or holds bytes without
// a request. net/http may see an end only after it has sent the next request: then nothing shows
// whether that was processed. It may also take such bytes for the response.
func (c *Conn) stale() bool {
	return c.uses.Load() > 0 && (kernel.Readable(c.wire.tcp) || c.wire.silence() >= idleLimit)
}

// responds pings the peer and reports whether it responds in time. If not, the connection gets no
// request until the response comes.
func (c *Conn) responds(ctx context.Context) bool {
	timer := time.NewTimer(pingPatience + c.dialed)
	defer timer.Stop()
	c.pool.mu.Lock()
	pinging := c.pool.ping(c)
	c.pool.mu.Unlock()
	select {
	case <-pinging:
		return !c.wire.dead.Load() && c.client.Err() == nil
	case <-timer.C:
		c.pool.mu.Lock()
		defer c.pool.mu.Unlock()
		c.suspected = c.pinging != nil
	case <-ctx.Done():
	}
	return false
}

// pingPeer sends a ping and reports whether anything came within pingTimeout, or the peer's kernel
// still acknowledges earlier writes. net/http exports no ping; golang.org/x/net/http2 sends one
// with this request.
func (c *Conn) pingPeer(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	last, acked := c.wire.lastRead.Load(), kernel.TCPInfo(c.wire.tcp).Bytes_acked
	_, err := c.client.RoundTrip((&http.Request{Method: ":ping"}).WithContext(ctx)) //nolint:bodyclose // there is none
	return err == nil || c.wire.lastRead.Load() != last ||
		kernel.Unsent(c.wire.tcp) > 0 && kernel.TCPInfo(c.wire.tcp).Bytes_acked != acked
}

// ping pings the peer of c, unless a ping is under way. The returned channel is closed when the
// peer has responded or c is closed. The caller holds mu.
func (p *Pool) ping(c *Conn) <-chan struct{} {
	if c.pinging == nil && p.ctx.Err() == nil {
		c.pinging = make(chan struct{})
		p.work.Go(func() { p.awaitPing(c) })
	}
	return c.pinging
}

func (p *Pool) awaitPing(c *Conn) {
	alive := c.pingPeer(p.ctx)
	if !alive {
		c.wire.dead.Store(true)
		c.wire.abort()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.draining = c.draining || !alive
	close(c.pinging)
	c.pinging, c.suspected = nil, false
	p.serveWaiters()
}
