package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// errUnasked is why an answer is not passed on: the upstream gave it before it got
// a byte of the request, so it belongs to another, or to none.
var errUnasked = errors.New("the upstream answered before it was asked")

// upstreamConn is a connection to the upstream.
type upstreamConn struct {
	cc       *http.ClientConn
	number   uint64        // of those to this upstream, from 1 on
	uses     atomic.Uint64 // requests that were sent on it
	raw      *countedConn
	http2    bool
	isReady  bool      // is in pool.ready; guarded by pool.mu
	resets   tally     // requests on it that clients cancelled; guarded by pool.mu
	worn     bool      // too many of them: it gets no more requests; guarded by pool.mu
	lastUsed time.Time // or became free; guarded by pool.mu
}

// rawConnKey is the context key under which a dial finds where to leave the
// connection beneath TLS.
type rawConnKey struct{}

// watchDial has the dial under ctx leave in c what net/http does not tell.
func (c *upstreamConn) watchDial(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(context.WithValue(ctx, rawConnKey{}, &c.raw), &httptrace.ClientTrace{
		TLSHandshakeDone: func(state tls.ConnectionState, _ error) { c.http2 = state.NegotiatedProtocol == "h2" },
	})
}

// countFor has the connection of a dial under ctx counted.
func countFor(ctx context.Context, nc net.Conn, spares *sync.Pool) net.Conn {
	counted := &countedConn{Conn: nc, out: newGather(nc, spares)}
	if raw, ok := ctx.Value(rawConnKey{}).(**countedConn); ok {
		*raw = counted
	}
	return counted
}

// spent reports whether a kept connection of HTTP/1.1 is at its end, or holds bytes
// that nobody asked for. net/http may learn of either only after it has sent the next
// request, whose fate is then unknown, or has taken those bytes for its answer.
func (c *upstreamConn) spent() bool {
	return c.uses.Load() > 0 && !c.http2 && c.raw.readable()
}

// mark is how far a connection had come when a request was about to be sent on it.
type mark struct {
	conn    *upstreamConn
	taken   int64 // where the request begins in what is written to the connection
	read    int64
	unasked atomic.Bool // the answer was there before the request
}

func (c *upstreamConn) mark() *mark {
	return &mark{conn: c, taken: c.raw.out.taken.Load(), read: c.raw.read.Load()}
}

// nothingSent reports whether not a byte was or will be handed to the kernel since.
// What was pending before may have failed as well.
func (m *mark) nothingSent() bool { return m.conn.raw.out.taken.Load() <= m.taken }

// hear is called with the first byte of the answer. Over HTTP/2 the number of the
// stream says what it answers.
func (m *mark) hear() {
	if raw := m.conn.raw; !m.conn.http2 && (raw.out.written.Load() <= m.taken || raw.read.Load() == m.read) {
		m.unasked.Store(true)
	}
}

// countedConn counts what was handed to the kernel, so that a request of which not
// one byte was can be told, and what came from there.
type countedConn struct {
	net.Conn
	out  *gather
	read atomic.Int64
}

// Write implements net.Conn.
func (c *countedConn) Write(p []byte) (int, error) { return c.out.write(p) }

// Read implements net.Conn.
func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.out.close()
	return c.Conn.Close()
}

// readable reports whether a read would return at once, with bytes or with an end.
// It is asked beside the read that net/http has always under way.
func (c *countedConn) readable() bool {
	socket, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return true
	}
	var peeked error
	err = raw.Control(func(fd uintptr) {
		_, _, peeked = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return err != nil || !errors.Is(peeked, syscall.EAGAIN)
}
