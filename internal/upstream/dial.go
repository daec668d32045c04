package upstream

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"oauth-proxyd/internal/config"
)

const (
	// continueTimeout is how long a request with "Expect: 100-continue" waits for an upstream that
	// may not know the expectation (RFC 9110 §10.1.1).
	continueTimeout = time.Second
	// headerBufferSize is the size of an HTTP/1.1 connection's write buffer. It need only hold a
	// header: larger writes bypass it, and the coalescer merges writes.
	headerBufferSize = 1 << 10
	// streamWindow is how many bytes of a response the upstream may send before its client takes
	// them. It is the largest power of two with which 300 clients that read nothing take less than
	// 150 MB of the whole process. A single download is no faster than a window per round trip:
	//
	//	window in KiB          64   128   256   512  1,024  4,096 (net/http's default)
	//	MB/s at 10 ms         6.2    12    21    49     90    334
	//	MB/s at 30 ms         2.1   4.0   6.4    17     31    136
	//	MB/s at 100 ms        0.6   1.2   2.2   4.8    9.7     39
	//	MB for 300 clients      -    87   126   203      -  1,296 and rising
	//
	// These were measured before WINDOW_UPDATE frames could wait (see heldCredit), which may cost
	// a sixteenth. A model's text needs less than 0.1 MB/s. The windows of maxStreams together,
	// 60 MiB, are far below the 1 GiB that net/http grants a connection, so that no stream waits
	// for another.
	streamWindow = 256 << 10
	// maxResponseHeader is the size in bytes beyond which a response header is refused over
	// HTTP/1.1. net/http holds several copies of what it cannot parse. Over HTTP/2 net/http's own
	// limit applies, because there a lower one would close a connection that others use.
	maxResponseHeader = 256 << 10
	// maxConnectHeader is the size in bytes of the largest accepted response to CONNECT.
	maxConnectHeader = 64 << 10
)

// Config says where requests go, and by which path.
type Config struct {
	// Proxy has the upstream's URL, certificates, CONNECT proxies and ConnectTimeout.
	config.Proxy
	// Dial replaces DNS and TCP. If nil, the host's own are used.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Resolver looks names up. If nil, one is made that passes over silent name servers.
	Resolver *net.Resolver
	// Trace has hooks for names and addresses, which several goroutines call. It may be nil.
	Trace *httptrace.ClientTrace
}

// SameTarget reports whether connections made for a can be used for b, too.
func SameTarget(a, b config.Proxy) bool {
	return a.UpstreamURL.String() == b.UpstreamURL.String() && string(a.UpstreamCAs) == string(b.UpstreamCAs) &&
		slices.EqualFunc(a.UpstreamProxies, b.UpstreamProxies, func(a, b *url.URL) bool { return a.String() == b.String() }) &&
		a.ConnectTimeout == b.ConnectTimeout
}

type dialer struct {
	Config
	tls       *tls.Config  // nil: an http upstream
	address   string       // host:port
	preferred atomic.Int64 // index of the proxy that worked last
}

// newDialer checks the certificates; it does not connect.
func newDialer(c Config) (*dialer, error) {
	roots, err := rootCAs(c.UpstreamCAs)
	if err != nil {
		return nil, err
	}
	if c.Resolver == nil {
		c.Resolver = newResolver(c.ConnectTimeout, (&net.Dialer{}).DialContext)
	}
	d := &dialer{Config: c}
	port := "80"
	if c.UpstreamURL.Scheme == "https" {
		port = "443"
		d.tls = &tls.Config{
			MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: c.UpstreamURL.Hostname(),
			NextProtos: []string{"h2", "http/1.1"},
		}
	}
	d.address = net.JoinHostPort(c.UpstreamURL.Hostname(), cmp.Or(c.UpstreamURL.Port(), port))
	return d, nil
}

// newTransport returns a transport for w alone. It neither dials nor pools.
func newTransport(w *wire) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	made := func(context.Context, string, string) (net.Conn, error) { return w, nil }
	return &http.Transport{
		DialContext:           made,
		DialTLSContext:        made,
		Protocols:             &protocols,
		HTTP2:                 &http.HTTP2Config{MaxReceiveBufferPerStream: streamWindow},
		DisableCompression:    true,
		ExpectContinueTimeout: continueTimeout,
		WriteBufferSize:       headerBufferSize,
	}
}

func rootCAs(pem []byte) (*x509.CertPool, error) {
	if len(pem) == 0 {
		return nil, nil //nolint:nilnil // nil means the system's, as in tls.Config
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's certificates: %w", err)
	}
	roots.AppendCertsFromPEM(pem)
	return roots, nil
}

// dial connects c, including the TLS handshake.
func (d *dialer) dial(ctx context.Context, c *Conn) error {
	start := time.Now()
	deadline := start.Add(d.ConnectTimeout)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := d.open(ctx, c)
	if err != nil && (!time.Now().Before(deadline) || isTimeout(err)) {
		return fmt.Errorf("%w: %w", ErrConnectTimeout, err)
	}
	c.dialed = time.Since(start)
	return err
}

// isTimeout reports whether a stage took longer than its share of the time.
func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

func (d *dialer) open(ctx context.Context, c *Conn) error {
	nc, err := d.connect(ctx)
	if err != nil {
		return err
	}
	c.wire = newWire(c, nc)
	c.http2 = c.wire.isHTTP2()
	transport := newTransport(c.wire)
	if !c.http2 {
		transport.MaxResponseHeaderBytes = maxResponseHeader
	}
	c.client, err = transport.NewClientConn(ctx, d.UpstreamURL.Scheme, d.address)
	if err != nil {
		_ = c.wire.Close() // err says why
	}
	return err
}

// handshake returns a socket over nc, or TLS over that with an https upstream.
func (d *dialer) handshake(ctx context.Context, nc net.Conn) (net.Conn, error) {
	s := &socket{Conn: nc}
	if d.tls == nil {
		return s, nil
	}
	c := tls.Client(s, d.tls)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = s.Close() // err says why
		return nil, &HandshakeError{Silent: s.received.Load() == 0, cause: err}
	}
	return c, nil
}

// HandshakeError says that the upstream was reached, and that there is no TLS with it.
type HandshakeError struct {
	Silent bool // nothing was received
	cause  error
}

func (e *HandshakeError) Error() string {
	if e.Silent {
		return "TLS handshake: connected, and received nothing: " + e.cause.Error()
	}
	return "TLS handshake: " + e.cause.Error()
}

func (e *HandshakeError) Unwrap() error { return e.cause }

// connect connects to the upstream, including the TLS handshake: directly, or through the first
// proxy that works. It tries the proxy that worked last first, and gives each an equal share of the
// time.
func (d *dialer) connect(ctx context.Context) (net.Conn, error) {
	if len(d.UpstreamProxies) == 0 {
		c, err := d.dialTCP(ctx, d.address)
		if err != nil {
			return nil, err
		}
		return d.handshake(ctx, c)
	}
	var failed error
	first := int(d.preferred.Load())
	for i := range d.UpstreamProxies {
		index := (first + i) % len(d.UpstreamProxies)
		c, err := d.viaProxy(ctx, d.UpstreamProxies[index], len(d.UpstreamProxies)-i)
		if err == nil {
			d.preferred.Store(int64(index))
			return c, nil
		}
		err = fmt.Errorf("proxy %s: %w", d.UpstreamProxies[index].Host, err)
		if failed == nil {
			failed = err
		} else {
			failed = fmt.Errorf("%w; %w", failed, err) // on one line, unlike that of errors.Join
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}

// viaProxy connects through proxy. It takes at most the time left divided by shares.
func (d *dialer) viaProxy(ctx context.Context, proxy *url.URL, shares int) (net.Conn, error) {
	deadline, _ := ctx.Deadline() // dial sets one
	ctx, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(shares))
	defer cancel()
	c, err := d.dialTCP(ctx, proxy.Host)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	err = d.tunnel(c, proxy)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = c.Close() // err says why
		return nil, err
	}
	return d.handshake(ctx, c)
}

// tunnel asks proxy, at the other end of c, to connect to the upstream (RFC 9110 §9.3.6).
func (d *dialer) tunnel(c net.Conn, proxy *url.URL) error {
	if _, err := io.WriteString(c, "CONNECT "+d.address+" HTTP/1.1\r\nHost: "+d.address+"\r\n\r\n"); err != nil {
		return err
	}
	in := bufio.NewReader(io.LimitReader(c, maxConnectHeader))
	status := http.StatusContinue
	for status/100 == 1 {
		response, err := http.ReadResponse(in, &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // it is the tunnel
		if err != nil {
			return fmt.Errorf("reading the response to CONNECT: %w", err)
		}
		status = response.StatusCode
	}
	if status/100 != 2 {
		return &TunnelError{Proxy: proxy.Host, Status: status}
	}
	if in.Buffered() > 0 {
		return errors.New("the proxy sent bytes through the tunnel before we sent any")
	}
	return nil
}

// Route says how connections reach the upstream.
type Route struct {
	// Proxy is the host and port of the HTTP CONNECT proxy that worked last, at the start the first
	// one; empty: connections are direct.
	Proxy string `json:"proxy"`
	// Connections is how many are open, including idle ones.
	Connections int `json:"connections"`
}

// Route returns the current route.
func (p *Pool) Route() (r Route) {
	if proxies := p.dialer.UpstreamProxies; len(proxies) > 0 {
		r.Proxy = proxies[p.dialer.preferred.Load()].Host
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Connections = len(p.conns)
	return r
}
