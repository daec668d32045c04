package upstream

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"oauth-proxyd/internal/kernel"
)

// Conn is a connection to the upstream. [Pool.Get] reserves a slot for one request on it, which
// exactly one call of [Conn.Send] or [Conn.Release] must use. Its layers:
//
//	Conn             requests, slots and states, for Pool
//	http.ClientConn  HTTP/1.1 or HTTP/2
//	wire             the net.Conn of net/http, with a coalescer and, over HTTP/2, frames
//	tls.Conn         only with an https upstream
//	socket           the net.Conn of TLS: counts what is read, and notes a FIN
//	net.Conn         TCP; package kernel asks about this one
//
// It gets new requests while it has a free slot, unless it is in one of these states:
//
//	state      because                                          until
//	draining   GOAWAY, FIN, a refused stream, too many resets   its last request ends, which closes it
//	suspected  the response to a ping is overdue                the peer responds, or it is closed
type Conn struct {
	pool   *Pool
	client *http.ClientConn
	wire   *wire
	http2  bool
	number uint64        // see Number
	uses   atomic.Uint64 // requests that were sent on it
	dialed time.Duration // how long it took to connect
	latest position      // at which its latest request began; only over HTTP/1.1

	// Guarded by pool.mu:
	inUse, limit int           // slots; limit: how many requests the peer takes, see frames
	settled      chan struct{} // closed by settle
	settle       func()        // call it when limit is known, or no longer matters
	draining     bool
	suspected    bool
	pinging      chan struct{} // closed at the end of the ping under way; nil: no ping
	check        *time.Timer   // from add to forget; see Pool.check
	resets       *rate.Limiter // of cancelled requests; it has a lock of its own
	lastUsed     time.Time
}

func newConn(p *Pool) *Conn {
	c := &Conn{pool: p}
	c.limit, c.resets, c.settled = 1, rate.NewLimiter(resetRate, resetBurst), make(chan struct{})
	c.settle = sync.OnceFunc(func() { close(c.settled) })
	return c
}

// Number identifies the connection among those to the upstream; the first is 1.
func (c *Conn) Number() uint64 { return c.number }

// HTTP2 reports whether the connection speaks HTTP/2, and not HTTP/1.1.
func (c *Conn) HTTP2() bool { return c.http2 }

// Uses returns how many requests were sent on it.
func (c *Conn) Uses() uint64 { return c.uses.Load() }

// LocalAddr returns our address; invalid without a TCP socket.
func (c *Conn) LocalAddr() netip.AddrPort { return addrPort(c.wire.LocalAddr()) }

// RemoteAddr returns the address of the upstream or of the HTTP CONNECT proxy; invalid without a
// TCP socket.
func (c *Conn) RemoteAddr() netip.AddrPort { return addrPort(c.wire.RemoteAddr()) }

// addrPort converts a TCP address; other addresses become the invalid AddrPort.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, _ := a.(*net.TCPAddr)
	return tcp.AddrPort() // invalid for nil
}

// Unsent returns how many written bytes the upstream's kernel has not acknowledged yet; -1 if
// unknown. Over HTTP/2, they belong to many requests.
func (c *Conn) Unsent() int { return kernel.Unsent(c.wire.tcp) }

// Silence returns how long no byte of the response has come. Over HTTP/2, where the bytes belong to
// many requests, it is unknown and endless.
func (c *Conn) Silence() time.Duration {
	if c.http2 {
		return math.MaxInt64
	}
	return c.wire.silence()
}

// Release gives back an unused slot.
func (c *Conn) Release() { c.pool.release(c, true) }

// TookNothing reports whether an HTTP/1.1 connection broke before it took a byte of the request
// whose body is read now. It is false over HTTP/2, and true before the first byte is written.
func (c *Conn) TookNothing() bool { return !c.http2 && c.wire.nothingSent(c.latest) }

// Send sends r once and returns the response when its header has come. Before that it calls
// informational, unless nil, with each 1xx response, but over HTTP/1.1 not with 101. Closing the
// body of the response frees the slot. An error that [ErrNotProcessed] matches proves that the
// upstream processed nothing of the request.
func (c *Conn) Send(ctx context.Context, r *http.Request, informational func(int, http.Header)) (*http.Response, error) {
	c.uses.Add(1)
	start := c.wire.position()
	if !c.http2 {
		c.latest = start
	}
	var unsolicited atomic.Bool
	response, err := c.client.RoundTrip(r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotFirstResponseByte: func() { unsolicited.Store(c.unsolicited(start)) },
		Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			if unsolicited.Load() {
				return errUnsolicited
			}
			if informational != nil {
				informational(status, http.Header(header))
			}
			return nil
		},
	})))
	if err != nil {
		switch {
		case refusedStream(err):
			c.pool.streamRefused(c)
			err = unsentError{err}
		case c.wire.nothingSent(start):
			err = unsentError{err}
		}
		c.finish(ctx.Err() != nil)
		return nil, err
	}
	if unsolicited.Load() {
		_ = response.Body.Close() // it is not passed on
		c.pool.drop(c)            // further responses would be off by one as well
		return nil, errUnsolicited
	}
	response.Body = c.body(ctx, response)
	return response, nil
}

// unsolicited reports, when the first byte of a response comes, whether it belongs to something
// other than the request that began at start. Over HTTP/2 the stream ID says what it belongs to.
func (c *Conn) unsolicited(start position) bool { return !c.http2 && !c.wire.bothWays(start) }

// finish frees the slot of a request. cancelled means that its response was not read to the end:
// over HTTP/2 its stream is reset, over HTTP/1.1 its connection cannot be used again.
func (c *Conn) finish(cancelled bool) {
	usable := c.client.Err() == nil && (c.http2 || c.client.Available() > 0)
	reset := cancelled && c.http2
	if reset && !c.resets.Allow() {
		c.pool.drain(c)
	}
	if reset && usable {
		time.AfterFunc(resetTime, c.Release) // see frames
		return
	}
	c.pool.release(c, usable)
}

// body returns the body of response. It frees the slot of the request.
func (c *Conn) body(ctx context.Context, response *http.Response) *responseBody {
	b := &responseBody{ReadCloser: response.Body, conn: c, ctx: ctx}
	b.ended.Store(response.Body == http.NoBody)
	b.stop = context.AfterFunc(ctx, b.abandon)
	return b
}

// responseBody frees the slot of a request when it is closed.
type responseBody struct {
	io.ReadCloser
	conn    *Conn
	ctx     context.Context
	stop    func() bool // stops watching ctx
	ended   atomic.Bool // the upstream ended it, complete or not
	closing atomic.Bool
	once    sync.Once
}

// abandon closes the body of a cancelled request. While net/http waits for an HTTP/2 peer to take
// more of the request, it does not notice the cancellation.
func (b *responseBody) abandon() {
	if b.closing.CompareAndSwap(false, true) {
		_ = b.ReadCloser.Close() // nobody wants the rest
	}
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		return n, nil
	}
	if b.ctx.Err() != nil && errors.Is(err, io.EOF) {
		err = context.Cause(b.ctx) // a peer may end its response because of our close_notify
	}
	b.ended.Store(errors.Is(err, io.EOF) || b.ctx.Err() == nil)
	if errors.Is(err, io.EOF) {
		b.finish() // the client may send its next request before the body is closed
	}
	return n, err
}

// Close implements io.Closer. It does not wait for net/http to close an HTTP/2 response, which may
// block until the peer takes earlier writes.
func (b *responseBody) Close() error {
	b.stop()
	if b.conn.http2 && !b.ended.Load() {
		b.conn.pool.work.Go(b.abandon)
	} else {
		b.abandon()
	}
	b.finish()
	return nil
}

func (b *responseBody) finish() {
	b.once.Do(func() { b.conn.finish(!b.ended.Load()) })
}
