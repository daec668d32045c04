package proxy

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// connGate counts the open connections and holds back new ones past its limit:
// they wait in the kernel's queue.
type connGate struct {
	mu     sync.Mutex
	change sync.Cond // open or limit changed, or closed
	open   int
	limit  int
	closed bool
	empty  chan struct{} // closed when open is 0 after close
}

func newConnGate() *connGate {
	g := &connGate{limit: spareConns, empty: make(chan struct{})}
	g.change.L = &g.mu
	return g
}

func (g *connGate) resize(limit int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = limit
	g.change.Broadcast()
}

// enter waits for room for one more connection; false means closed.
func (g *connGate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !g.closed && g.open >= g.limit {
		g.change.Wait()
	}
	if g.closed {
		return false
	}
	g.open++
	return true
}

func (g *connGate) full() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open >= g.limit
}

func (g *connGate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	g.change.Signal()
	g.signalEmpty()
}

func (g *connGate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.change.Broadcast()
	g.signalEmpty()
}

func (g *connGate) signalEmpty() {
	if !g.closed || g.open > 0 {
		return
	}
	select {
	case <-g.empty:
	default:
		close(g.empty)
	}
}

// waitEmpty returns when no connection is open after close, or with ctx.
func (g *connGate) waitEmpty(ctx context.Context) {
	select {
	case <-g.empty:
	case <-ctx.Done():
	}
}

// gatedListener accepts connections through the gate and names them.
type gatedListener struct {
	net.Listener
	name    string
	gate    *connGate
	handler connHandler
	closed  <-chan struct{}
	log     *slog.Logger
}

// Accept implements net.Listener. After CloseListeners it says so in the way that
// net/http takes for an ordinary end.
func (l *gatedListener) Accept() (net.Conn, error) {
	if !l.gate.enter() {
		return nil, http.ErrServerClosed
	}
	c, err := l.Listener.Accept()
	if err == nil {
		return &clientConn{Conn: c, listener: l.name, gate: l.gate, handler: l.handler}, nil
	}
	l.gate.leave()
	select {
	case <-l.closed:
		return nil, http.ErrServerClosed
	default:
		l.log.Warn("a connection could not be accepted", "listener", l.name, "error", err)
		return nil, err // net/http waits up to a second and tries again what may pass
	}
}

// clientConnKey is the context key of a request's *clientConn.
type clientConnKey struct{}

// clientConn is a connection from a client, with what is known of it.
type clientConn struct {
	net.Conn
	listener string
	gate     *connGate
	handler  connHandler
	left     sync.Once
	identity identityCache
	framing  framing
	// misframed: the request has a Content-Length or a Transfer-Encoding that
	// net/http dropped. Only for its handler.
	misframed bool
	// headerTooLarge: the request's header was not read, as it is larger than the limit.
	headerTooLarge bool

	// spoilt: where the next request begins is no longer known, as the body of
	// the last was not read to its end. What follows must not be taken for one.
	spoilt atomic.Bool
	// lingered: the rest of the last body was dropped, or is being dropped.
	lingered atomic.Bool
	// spoke: at least one byte came.
	spoke atomic.Bool
	// buffered: a read may take what was read ahead, and must not wait for more.
	buffered atomic.Bool
	// reset: end with a TCP reset, so that what was sent does not look whole.
	reset atomic.Bool
}

// begin looks at the next request of the connection, before any handler.
// last: the connection cannot serve another one.
func (c *clientConn) begin(r *http.Request) (last bool) {
	if c.spoilt.Load() {
		panic(http.ErrAbortHandler) // not a request but the rest of the last one's body
	}
	c.misframed = c.framing.check(r)
	return c.misframed
}

// Read implements net.Conn. It is the end of a spoilt connection.
func (c *clientConn) Read(p []byte) (int, error) {
	// A read of one byte is net/http's watch for a client that leaves.
	if len(p) > 1 && c.buffered.Load() {
		return 0, nil
	}
	if !c.spoilt.Load() {
		n, err := c.Conn.Read(p)
		if n > 0 {
			c.spoke.Store(true)
		}
		c.framing.scan(p[:n])
		return n, err
	}
	c.linger()
	return 0, net.ErrClosed
}

// linger ends a spoilt connection, once. What still comes is dropped for a moment before
// the close: one with unread bytes would reset the connection, and the client might lose
// the answer.
func (c *clientConn) linger() {
	const (
		most       = 4 << 20 // no more is read of a body that was refused for its size
		lingerTime = 500 * time.Millisecond
	)
	if c.lingered.Swap(true) {
		return
	}
	_ = c.CloseWrite() // the client may be gone already
	end := time.Now().Add(lingerTime)
	_ = c.Conn.SetReadDeadline(end)
	if n, err := io.CopyN(io.Discard, c.Conn, most); n == most && err == nil {
		time.Sleep(time.Until(end)) // to read the answer, for a client that does
	}
}

// CloseWrite half-closes the connection, which net/http does where a close could
// reset it before the client has read its answer.
func (c *clientConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn. net/http reads no more of a connection before it closes it
// when the client wanted that.
func (c *clientConn) Close() error {
	if c.spoilt.Load() {
		c.linger()
	}
	c.left.Do(c.gate.leave)
	if c.reset.Load() {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // best effort: the close itself follows
		}
	}
	return c.Conn.Close()
}
