package inbound

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"oauth-proxyd/internal/access"
)

type connKey struct{}

// Conn is a connection from a client. net/http reads, writes and closes it; a handler says how:
//
//	method            flag        effect
//	ReadBuffered      buffered    Read returns nothing
//	Relay             relaying    Write leaves the deadline to the handler
//	LeaveUnread       restUnread  after this response, Read fails, no handler gets a request, and
//	                              Close lingers
//	PauseBeforeClose  pausing     Close pauses, unless it lingers
//	EndWithReset      reset       Close resets
type Conn struct {
	net.Conn
	// Listener is the name of the socket that accepted it.
	Listener string
	// Sender says who is at the other end.
	Sender access.Conn

	server *Server // that accepted it
	scan   scanner

	// Its state among the connections, guarded by their lock:
	origin    netip.Addr // access.Network of the client's address; the zero Addr for Unix sockets
	class     class
	since     time.Time // since when it has its class
	requested time.Time // when lookForRequest first saw its request while it waited

	// The request:

	// Misframed says that net/http dropped a Content-Length or a Transfer-Encoding of the request,
	// or that the scanner lost track and cannot rule that out. Only the handler may read it.
	Misframed bool
	// BadRequest is nil unless net/http refused the request. Only the handler may read it.
	BadRequest *BadRequest
	received   atomic.Bool // at least one byte was read
	first      byte        // that was read; only for the goroutine of net/http that reads the first request
	starved    atomic.Bool // net/http's last read failed, so it lacks the rest of what it was reading
	buffered   atomic.Bool
	gone       atomic.Bool                             // the connection broke, or the client closed it
	cancel     atomic.Pointer[context.CancelCauseFunc] // see CancelWhenGone

	// The response:
	relaying   atomic.Bool
	restUnread atomic.Bool // where the next request would start is unknown

	// The close:
	pausing   atomic.Bool
	reset     atomic.Bool
	lingering atomic.Bool // it is open only for the client to read the last response
}

// ConnOf returns the connection of a request. Without a [Server], as in a test, it returns one of
// an idle server.
func ConnOf(r *http.Request) *Conn {
	if c, ok := r.Context().Value(connKey{}).(*Conn); ok {
		return c
	}
	return &Conn{server: NewServer(nil, nil)}
}

// Context returns a context that ends with [Server.Cut].
func (c *Conn) Context() context.Context { return c.server.base }

// CancelWhenGone has cancel called with [context.Canceled] when the connection breaks, or when the
// client closes it or its sending side, even if that was before. Unlike net/http's context, it
// ignores a read that ended at its deadline. Call it with nil at the end of the handler.
func (c *Conn) CancelWhenGone(cancel context.CancelCauseFunc) {
	if cancel == nil {
		c.cancel.Store(nil)
		return
	}
	c.cancel.Store(&cancel)
	if c.gone.Load() { // net/http reads from the client before the handler runs
		cancel(context.Canceled)
	}
}

// lost cancels the request.
func (c *Conn) lost() {
	c.gone.Store(true) // before the load, so that lost or CancelWhenGone sees the other
	if cancel := c.cancel.Load(); cancel != nil {
		(*cancel)(context.Canceled)
	}
}

// ownWriteTimeout is how long a client may take to accept what we write ourselves: 1xx, errors,
// /health, /metrics, and the end of a response. That is a few packets, or some hundred kB for
// /metrics.
const ownWriteTimeout = 5 * time.Second

// Write implements net.Conn. A relayed response is written as it is, with the deadline of its
// handler. Our own writes have a deadline. What net/http writes without a handler is a refusal, and
// is replaced by ours. A write that fails cancels the request, because net/http writes nothing
// more.
func (c *Conn) Write(p []byte) (int, error) {
	if !c.relaying.Load() {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(ownWriteTimeout)) // if it is closed, the write fails
		if !c.scan.isServing() {
			return c.writeRefusal(p)
		}
	}
	n, err := c.Conn.Write(p)
	if err != nil {
		c.lost()
	}
	return n, err
}

// Relay says whether the handler relays a response now, and sets the write deadlines itself.
func (c *Conn) Relay(on bool) {
	if c.relaying.Swap(on) != on && on && c.Conn != nil {
		_ = c.Conn.SetWriteDeadline(time.Time{}) // if it is closed, writes fail
	}
}

// Admit records that a request of the connection was admitted.
func (c *Conn) Admit() { c.server.connections.admit(c) }

// Refuse records that the access rules refused a request of the connection.
func (c *Conn) Refuse() { c.server.connections.refuse(c) }

// ReadBuffered runs read with the socket switched off: Read returns (0, nil), so read sees only
// what bufio already holds. It relies on net/http, whose bufio.Reader first returns its buffer, and
// whose body passes (0, nil) on. A short body then needs no goroutine that waits for the client,
// which saves a tenth of the processor time of a short request.
func (c *Conn) ReadBuffered(read func()) {
	c.buffered.Store(true)
	read()
	c.buffered.Store(false)
}

// EndWithReset says whether Close is to reset the connection, so that a response that the
// connection's end delimits cannot look complete.
func (c *Conn) EndWithReset(on bool) { c.reset.Store(on) }

// LeaveUnread makes the connection end after the response, because the rest of the request is not
// read.
func (c *Conn) LeaveUnread() { c.restUnread.Store(true) }

// PauseBeforeClose makes Close wait for a moment, so that the client reads the event that says why
// its response is cut.
func (c *Conn) PauseBeforeClose() { c.pausing.Store(true) }

// LeaveBody prepares a response that does not wait for the body of r, which may never come, and
// ends the connection.
func LeaveBody(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	_ = http.NewResponseController(w).EnableFullDuplex() // otherwise net/http reads the body first
	w.Header().Set("Connection", "close")
	ConnOf(r).LeaveUnread()
}

// begin checks the next request of the connection before its handler runs.
func (c *Conn) begin(r *http.Request) {
	if c.restUnread.Load() {
		panic(http.ErrAbortHandler) // these are bytes of the last body, not a request
	}
	h, known := c.scan.next()
	c.Misframed = !known || h.misframed(r)
}

// Read implements net.Conn. It ends a connection whose last body is unread.
func (c *Conn) Read(p []byte) (int, error) {
	if c.restUnread.Load() { // net/http does not respond to this error, and closes the connection
		return 0, &net.OpError{Op: "read", Err: net.ErrClosed}
	}
	if c.buffered.Load() && len(p) > 1 { // net/http reads a single byte to notice a client that leaves
		return 0, nil // see ReadBuffered
	}
	n, err := c.Conn.Read(p)
	if n > 0 && !c.received.Swap(true) {
		c.first = p[0]
	}
	if len(p) > 1 { // the read of a single byte is interrupted when its request ends
		c.starved.Store(err != nil)
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.lost()
	}
	c.scan.scan(p[:n])
	return n, err
}

// linger drops the rest of an unread body for a moment before the close. A close with unread bytes
// would reset the connection, and the client might lose the response.
func (c *Conn) linger() {
	const (
		most       = 4 << 20 // bytes that are dropped of a refused body
		lingerTime = 500 * time.Millisecond
	)
	if c.lingering.Swap(true) || c.server.base.Err() != nil { // the process is about to exit
		return
	}
	c.server.connections.lingers(c)
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the client may be gone already
	}
	end := time.Now().Add(lingerTime)
	_ = c.Conn.SetReadDeadline(end)
	if n, err := io.CopyN(io.Discard, c.Conn, most); n == most && err == nil {
		time.Sleep(time.Until(end)) // the client may still be reading the response
	}
}

// pause waits between an event that says why a response is cut and the close. Some clients, proxies
// above all, drop what they have not passed on yet when they see the connection end. A client that
// reads the event closes the connection, which ends the wait. No slot is held meanwhile.
func (c *Conn) pause() {
	const most, pauseTime = 64 << 10, 50 * time.Millisecond
	_ = c.Conn.SetReadDeadline(time.Now().Add(pauseTime)) // if it is closed, the read fails
	_, _ = io.CopyN(io.Discard, c.Conn, most)
}

// CloseWrite ends the connection. net/http calls it where a close could reset the connection before
// the client has read its response, and then always sleeps for half a second; linger ends when the
// client closes. The panic skips that sleep: net/http recovers it in silence and calls Close.
func (c *Conn) CloseWrite() error {
	c.linger()
	panic(http.ErrAbortHandler)
}

// Close implements net.Conn. net/http calls it without reading the rest if the client asked for the
// close.
func (c *Conn) Close() error {
	if c.restUnread.Load() {
		c.linger()
	} else if c.pausing.Load() {
		c.pause()
	}
	c.server.connections.leave(c)
	if c.reset.Load() {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // best effort: the close itself follows
		}
	}
	return c.Conn.Close()
}
