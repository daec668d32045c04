package inbound

import (
	"bytes"
	"container/list"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"oauth-proxyd/internal/access"
)

// connKey is the context key of a request's *Conn.
type connKey struct{}

// Conn is a connection from a client, with what is known of it.
type Conn struct {
	net.Conn
	// Listener is the name of the socket that it came in through.
	Listener string
	// Access is where it comes from.
	Access access.Conn

	queue *acceptQueue // that it came through; nil without a Server
	scan  scanner

	// Where it is among the connections, guarded by their lock.
	source  netip.Addr // its address or network; the zero Addr for Unix sockets
	place   place
	element *list.Element // in the list of its place; nil while a request is at work
	since   time.Time     // when it came to its place
	working bool          // its handler has a request

	// Misframed: the request has a Content-Length or a Transfer-Encoding that net/http dropped.
	// Only for its handler.
	Misframed bool
	// Names are those of the fields of the request as the client wrote them, each with a line end;
	// empty if they are not known. Only for its handler.
	Names string
	// HeaderTooLarge: the request's header was not read, as it is larger than the limit.
	HeaderTooLarge bool

	// spoilt: where the next request begins is no longer known, as the body of the last was not
	// read to its end. What follows must not be taken for one.
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

// ConnOf gives the connection that [Server] put in the request's context. A handler without a
// Server has one of its own, as in a test.
func ConnOf(r *http.Request) *Conn {
	if c, ok := r.Context().Value(connKey{}).(*Conn); ok {
		return c
	}
	return &Conn{}
}

// ownWriteTimeout is how long a client may take to accept what we say ourselves: 1xx, errors,
// /health, /metrics, and the end of a response. It is a few packets, or for /metrics some hundred
// kilobytes.
const ownWriteTimeout = 5 * time.Second

// Write implements net.Conn. What we write ourselves has a deadline; what is passed on has that of
// who passes it on. In place of net/http's own 431 goes ours.
func (c *Conn) Write(p []byte) (int, error) {
	if !c.relaying.Load() {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(ownWriteTimeout)) // one that is closed fails to write next
	}
	if bytes.HasPrefix(p, []byte(libraryTooLarge)) {
		return c.writeTooLarge(p)
	}
	return c.Conn.Write(p)
}

// Relay leaves the writing to the timeouts of the exchange, or ends that.
func (c *Conn) Relay(on bool) {
	if c.relaying.Swap(on) != on && on && c.Conn != nil {
		_ = c.Conn.SetWriteDeadline(time.Time{}) // likewise
	}
}

// Admit reports that a request of the connection was admitted.
func (c *Conn) Admit() {
	if c.queue != nil {
		c.queue.connections.admit(c)
	}
}

// Refuse reports that the access rules are against a request of the connection.
func (c *Conn) Refuse() {
	if c.queue != nil {
		c.queue.connections.refuse(c)
	}
}

// Unsent is how many bytes the kernel holds that were written to the connection and that the client
// has not taken yet; below 0: it cannot tell.
func (c *Conn) Unsent() int { return queued(c.Conn, unix.SIOCOUTQ) }

// queued is how many bytes the kernel holds in a queue of nc; below 0: it cannot tell.
func queued(nc net.Conn, queue uint) int {
	socket, ok := nc.(syscall.Conn)
	if !ok {
		return -1
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return -1
	}
	n := -1
	err = raw.Control(func(fd uintptr) {
		if left, err := unix.IoctlGetInt(int(fd), queue); err == nil {
			n = left
		}
	})
	if err != nil {
		return -1
	}
	return n
}

// ReadBuffered calls read, which reads a body and gets what net/http has read of it along with the
// header, without waiting for more. net/http's bufio.Reader hands out what it has and then calls
// Read here; a (0, nil) from that ends the read of the body with what there was. For a short body
// this saves a goroutine that waits for the client: a tenth of the processor time of a short
// request.
func (c *Conn) ReadBuffered(read func()) {
	c.buffered.Store(true)
	read()
	c.buffered.Store(false)
}

// EndWithReset has the connection end with a TCP reset, or not, so that a response that is
// delimited by its end cannot look whole.
func (c *Conn) EndWithReset(on bool) { c.reset.Store(on) }

// LeaveUnread ends the connection after the response: the rest of the request's body is not read,
// so that where the next request begins is not known.
func (c *Conn) LeaveUnread() { c.spoilt.Store(true) }

// Part has the connection stay open for a moment after an event that says why a response is cut.
func (c *Conn) Part() { c.parting.Store(true) }

// LeaveBody has r responded to at once by a handler that reads no body, and its connection ended
// after that: a body that was announced may never come.
func LeaveBody(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	_ = http.NewResponseController(w).EnableFullDuplex() // else net/http waits for the body first
	w.Header().Set("Connection", "close")
	ConnOf(r).spoilt.Store(true)
}

// begin looks at the next request of the connection, before any handler. last: the connection
// cannot serve another one.
func (c *Conn) begin(r *http.Request) (last bool) {
	if c.spoilt.Load() {
		panic(http.ErrAbortHandler) // not a request but the rest of the last one's body
	}
	h, known := c.scan.next()
	c.Misframed, c.Names = !known || h.misframed(r), string(h.names)
	return c.Misframed
}

// Read implements net.Conn. It is the end of a spoilt connection.
func (c *Conn) Read(p []byte) (int, error) {
	if c.buffered.Load() && len(p) > 1 { // a single byte is what net/http's watch for a client that leaves reads
		return 0, nil // see ReadBuffered
	}
	if !c.spoilt.Load() {
		n, err := c.Conn.Read(p)
		if n > 0 {
			c.spoke.Store(true)
		}
		c.scan.scan(p[:n])
		return n, err
	}
	c.linger()
	return 0, net.ErrClosed
}

// linger ends a spoilt connection, once. What still comes is dropped for a moment before the close:
// one with unread bytes would reset the connection, and the client might lose the response.
func (c *Conn) linger() {
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
		time.Sleep(time.Until(end)) // to read the response, for a client that does
	}
}

// part leaves the connection open for a moment after an event that says why a response is cut. Some
// clients, proxies above all, drop what they have not passed on yet when they see the end of the
// connection, so the event must not come together with it. A client that reads the event closes the
// connection itself, which ends the wait. The request has ended before, so no slot is held.
func (c *Conn) part() {
	const most, partTime = 64 << 10, 50 * time.Millisecond
	_ = c.Conn.SetReadDeadline(time.Now().Add(partTime)) // one that is closed fails to read next
	_, _ = io.CopyN(io.Discard, c.Conn, most)
}

// isEnding reports whether the process is about to end, and waits for nobody.
func (c *Conn) isEnding() bool { return c.queue != nil && c.queue.handler.base.Err() != nil }

// CloseWrite half-closes the connection, which net/http does where a close could reset it before
// the client has read its response.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn. net/http reads no more of a connection before it closes it when the
// client wanted that.
func (c *Conn) Close() error {
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
