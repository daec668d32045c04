package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// A connection that has heard nothing for pingAfter is asked, and given up
	// when it does not answer within pingTimeout: 30 s in all.
	pingAfter   = 15 * time.Second
	pingTimeout = 15 * time.Second
	// continueTimeout is how long a request with "Expect: 100-continue" waits for
	// an upstream that may not know the expectation (RFC 9110 §10.1.1).
	continueTimeout = time.Second
	// headerBufferSize is of what each connection of HTTP/1.1 holds for the header of
	// a request. Bodies go past it, and [gather] puts pieces together.
	headerBufferSize = 1 << 10
)

// errConnectTimeout is why a dial failed that took longer than ConnectTimeout.
var errConnectTimeout = errors.New("no connection within connect_timeout")

// dialer makes connections to one upstream.
type dialer struct {
	transport *http.Transport // only for NewClientConn; it pools nothing
	scheme    string
	address   string // host:port
	timeout   time.Duration
	spares    sync.Pool // of [gather]
}

// streamWindow is how many bytes of a response are taken in before its client takes them. Many
// clients that read nothing must not fill the memory; net/http's own 4 MiB for each would.
const streamWindow = 256 << 10

// newDialer validates the certificates; it makes no connection.
func newDialer(u Upstream) (*dialer, error) {
	roots, err := rootCAs(u.RootCAs)
	if err != nil {
		return nil, err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	d := &dialer{
		scheme: u.URL.Scheme, address: hostPort(u.URL.Scheme, u.URL.Host), timeout: u.ConnectTimeout,
		transport: &http.Transport{
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			Protocols:       &protocols,
			HTTP2: &http.HTTP2Config{
				SendPingTimeout: pingAfter, PingTimeout: pingTimeout, MaxReceiveBufferPerStream: streamWindow,
			},
			DisableCompression:    true,
			ExpectContinueTimeout: continueTimeout,
			WriteBufferSize:       headerBufferSize,
		},
	}
	d.transport.DialContext = d.dialCounted
	if u.Proxy != nil {
		d.transport.Proxy = http.ProxyURL(u.Proxy)
	}
	return d, nil
}

func rootCAs(pem []byte) (*x509.CertPool, error) {
	if len(pem) == 0 {
		return nil, nil //nolint:nilnil // nil means the system's, as in tls.Config
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's certificates: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("upstream_ca_file holds no certificate")
	}
	return roots, nil
}

func hostPort(scheme, host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	port := "443"
	if scheme == "http" {
		port = "80"
	}
	if len(host) > 1 && host[0] == '[' {
		return host + ":" + port
	}
	return net.JoinHostPort(host, port)
}

// dial makes a connection, TLS handshake included.
func (d *dialer) dial(ctx context.Context) (*upstreamConn, error) {
	deadline := time.Now().Add(d.timeout)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	c := &upstreamConn{}
	cc, err := d.transport.NewClientConn(c.watchDial(ctx), d.scheme, d.address)
	if err != nil {
		// net.Dialer has a timer of its own for the deadline, which may be ahead of ctx's.
		if !time.Now().Before(deadline) {
			return nil, fmt.Errorf("%w: %w", errConnectTimeout, err)
		}
		return nil, err
	}
	c.cc = cc
	return c, nil
}

func (d *dialer) dialCounted(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return countFor(ctx, nc, &d.spares), nil
}
