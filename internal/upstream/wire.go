package upstream

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"oauth-proxyd/internal/kernel"
)

// closeTime is how long TLS's close_notify may take.
const closeTime = 250 * time.Millisecond

// wire is the connection that net/http uses. [Conn] lists what is above and below.
type wire struct {
	net.Conn // TLS, or the socket
	socket   *socket
	tcp      net.Conn // beneath the socket
	out      *coalescer
	frames   *frames // nil over HTTP/1.1
	close    sync.Once
	made     time.Time
	lastRead atomic.Int64 // when the last bytes came, in nanoseconds since made
	dead     atomic.Bool  // the peer did not respond to a ping
	closed   func()       // called when nothing more can be read, perhaps more than once
}

// newWire returns the wire of c over nc, which is a socket or TLS over one.
func newWire(c *Conn, nc net.Conn) *wire {
	s, plain := nc.(*socket)
	if !plain {
		s = nc.(*tls.Conn).NetConn().(*socket)
	}
	w := &wire{Conn: nc, socket: s, tcp: s.Conn, made: time.Now(), closed: func() { c.pool.lost(c) }}
	w.out = &coalescer{conn: nc, broken: func() { time.AfterFunc(drainTime, w.abort) }}
	w.touch()
	if w.isHTTP2() {
		w.frames, w.out.http2 = &frames{conn: c}, true
	}
	return w
}

// ConnectionState tells net/http which protocol was negotiated.
func (w *wire) ConnectionState() tls.ConnectionState {
	if c, ok := w.Conn.(*tls.Conn); ok {
		return c.ConnectionState()
	}
	return tls.ConnectionState{}
}

func (w *wire) isHTTP2() bool { return w.ConnectionState().NegotiatedProtocol == "h2" }

// Write implements net.Conn. It does not fail: see [coalescer].
func (w *wire) Write(p []byte) (int, error) {
	w.out.write(p)
	return len(p), nil
}

// Read implements net.Conn. An end that the peer did not send matches io.ErrUnexpectedEOF.
// Otherwise net/http would take a cut response for complete if only the end of the connection
// delimits it.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.touch()
		if w.frames != nil {
			w.frames.scan(p[:n])
		}
	}
	if err != nil {
		if w.dead.Load() {
			err = errPathDead
		} else if errors.Is(err, io.EOF) && w.wasCut() {
			err = io.ErrUnexpectedEOF
			if w.socket != w.Conn && w.frames == nil { // net/http does not expect it over HTTP/2
				err = errNoCloseNotify
			}
		}
		w.closed()
	}
	return n, err
}

func (w *wire) silence() time.Duration { return time.Since(w.made) - time.Duration(w.lastRead.Load()) }

func (w *wire) touch() { w.lastRead.Store(int64(time.Since(w.made))) }

// Close implements net.Conn. It writes TLS's close_notify if the peer takes it within closeTime.
func (w *wire) Close() error {
	var err error
	w.close.Do(func() {
		defer time.AfterFunc(closeTime, w.abort).Stop()
		w.out.close()
		err = w.Conn.Close()
		w.closed()
	})
	return err
}

// abort unblocks all reads and writes.
func (w *wire) abort() { _ = w.socket.Close() }

// wasCut reports whether the network and not the peer ended the connection. Over TLS the peer ends
// it with a close_notify, after which the end of the TCP connection is not read. Without TLS it
// sends a FIN.
func (w *wire) wasCut() bool {
	if _, isTLS := w.Conn.(*tls.Conn); isTLS {
		return w.socket.ended.Load()
	}
	const closed = 7 // include/net/tcp_states.h
	return kernel.TCPInfo(w.tcp).State == closed && w.out.wasReset()
}

// position says how many bytes have passed in each direction.
type position struct{ sent, received int64 }

func (w *wire) position() position { return position{w.out.taken.Load(), w.socket.received.Load()} }

// nothingSent reports whether no byte from the position on was handed to the kernel, or ever will
// be. Only the tail of the accepted bytes is ever dropped, so the numbers prove it.
func (w *wire) nothingSent(from position) bool { return w.out.taken.Load() <= from.sent }

// bothWays reports whether bytes from the position on were written, and others were read.
func (w *wire) bothWays(from position) bool {
	return w.out.written.Load() > from.sent && w.socket.received.Load() != from.received
}

// socket is the connection beneath TLS.
type socket struct {
	net.Conn
	received atomic.Int64 // bytes that were read
	ended    atomic.Bool  // the peer's FIN was read
}

func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.received.Add(int64(n))
	if errors.Is(err, io.EOF) {
		s.ended.Store(true)
	}
	return n, err
}
