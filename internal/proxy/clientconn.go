package proxy

import (
	"bytes"
	"container/list"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"
)

// clientConnKey is the context key of a request's *clientConn.
type clientConnKey struct{}

// clientConn is a connection from a client, with what is known of it.
type clientConn struct {
	net.Conn
	listener string
	queue    *acceptQueue // that it came through
	identity identityCache
	framing  framing
	fields   fieldScanner

	// Where it is among the connections, guarded by their lock.
	source  netip.Addr
	place   place
	element *list.Element // in the list of its place; nil while a request is at work
	since   time.Time     // when it came to its place
	working bool          // its handler has a request

	// misframed: the request has a Content-Length or a Transfer-Encoding that
	// net/http dropped. Only for its handler.
	misframed bool
	// order is that of the fields of the request. Only for its handler.
	order fieldOrder
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
	// parting: the client was told why its response ends early, and is about to see the end.
	parting atomic.Bool
	// relaying: a response of the upstream is passed on, with timeouts of its own.
	relaying atomic.Bool
}

// place is what a connection counts as.
type place int

const (
	placeNone     place = iota // closed, or on its way in
	placeParked                // accepted, and waiting to be served
	placeStranger              // served, and nothing on it was admitted yet
	placeAdmitted
)

// ownWriteTimeout is how long a client may take to accept what we say ourselves: 1xx, errors,
// /health, /metrics, and the end of a response. It is a few packets, or for /metrics some
// hundred kilobytes.
const ownWriteTimeout = 5 * time.Second

// Write implements net.Conn. What we write ourselves has a deadline; what is passed on has
// that of the exchange (watch.go). In place of net/http's own 431 goes ours.
func (c *clientConn) Write(p []byte) (int, error) {
	if !c.relaying.Load() {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(ownWriteTimeout)) // one that is closed fails to write next
	}
	if bytes.HasPrefix(p, []byte(libraryTooLarge)) {
		return c.writeTooLarge(p)
	}
	return c.Conn.Write(p)
}

// relay leaves the writing to the timeouts of the exchange, or ends that.
func (c *clientConn) relay(on bool) {
	if c.relaying.Swap(on) != on && on && c.Conn != nil {
		_ = c.Conn.SetWriteDeadline(time.Time{}) // likewise
	}
}

// admit notes that the access rules let in a request of the connection.
func (c *clientConn) admit() {
	if c.queue != nil {
		c.queue.connections.admit(c)
	}
}

// refused notes that they did not, unless that may be otherwise soon.
func (c *clientConn) refused(err error) {
	if f, ok := errors.AsType[*failure](err); ok && f.code == CodeAccessDenied && c.queue != nil {
		c.queue.connections.refuse(c)
	}
}

// LeaveBody has r responded to at once by a handler that reads no body, and its connection
// ended after that: a body that was announced may never come.
func LeaveBody(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	_ = http.NewResponseController(w).EnableFullDuplex() // else net/http waits for the body first
	w.Header().Set("Connection", "close")
	connOf(r).spoilt.Store(true)
}

// evict closes the connection to make room. It waits for nobody: connections calls it with
// its lock.
func (c *clientConn) evict() { _ = c.Conn.Close() }

// begin looks at the next request of the connection, before any handler.
// last: the connection cannot serve another one.
func (c *clientConn) begin(r *http.Request) (last bool) {
	if c.spoilt.Load() {
		panic(http.ErrAbortHandler) // not a request but the rest of the last one's body
	}
	c.misframed = c.framing.check(r)
	c.order = c.fields.next()
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
		c.fields.scan(p[:n])
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
	if c.lingered.Swap(true) || c.isEnding() {
		return
	}
	_ = c.CloseWrite() // the client may be gone already
	end := time.Now().Add(lingerTime)
	_ = c.Conn.SetReadDeadline(end)
	if n, err := io.CopyN(io.Discard, c.Conn, most); n == most && err == nil {
		time.Sleep(time.Until(end)) // to read the answer, for a client that does
	}
}

// part leaves the connection open for a moment after an event that says why a response is cut. Some
// clients, proxies above all, drop what they have not passed on yet when they see the end of the
// connection, so the event must not come together with it. A client that reads the event closes the
// connection itself, which ends the wait. The request has ended before, so no slot is held.
func (c *clientConn) part() {
	const most, partTime = 64 << 10, 50 * time.Millisecond
	_ = c.Conn.SetReadDeadline(time.Now().Add(partTime)) // one that is closed fails to read next
	_, _ = io.CopyN(io.Discard, c.Conn, most)
}

// isEnding reports whether the process is about to end, and waits for nobody.
func (c *clientConn) isEnding() bool { return c.queue != nil && c.queue.handler.base.Err() != nil }

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
	} else if c.parting.Load() {
		c.part()
	}
	if c.queue != nil {
		c.queue.connections.leave(c)
	}
	if c.reset.Load() {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // best effort: the close itself follows
		}
	}
	return c.Conn.Close()
}
