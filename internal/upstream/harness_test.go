package upstream_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"oauth-proxyd/internal/upstream"
)

// patience is how long a test waits for anything. A busy machine is slow.
const patience = time.Minute

// origin is an upstream on loopback whose part a test plays.
type origin struct {
	url   *url.URL
	roots []byte
	conns atomic.Int64 // connections that were accepted
}

// listenOn hands each connection to script, and closes it after that. With protocols it speaks TLS
// and negotiates one of them.
func listenOn(t testing.TB, script func(net.Conn), protocols ...string) *origin {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{url: &url.URL{Scheme: "http", Host: l.Addr().String()}}
	var config *tls.Config
	if len(protocols) > 0 {
		o.url.Scheme = "https"
		config, o.roots = certified(t)
		config.NextProtos = protocols
	}
	var work sync.WaitGroup
	work.Go(func() { o.accept(t, l, config, &work, script) })
	t.Cleanup(func() { l.Close(); work.Wait() })
	return o
}

func (o *origin) accept(t testing.TB, l net.Listener, config *tls.Config, work *sync.WaitGroup, script func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		o.conns.Add(1)
		work.Go(func() {
			defer context.AfterFunc(t.Context(), func() { c.Close() })()
			end := c
			if config != nil {
				end = tls.Server(c, config)
			}
			defer end.Close()
			script(end)
		})
	}
}

// serveHTTP is an upstream of net/http that speaks http/1.1 or h2 over TLS.
func serveHTTP(t testing.TB, protocol string, h http.HandlerFunc) *origin {
	t.Helper()
	config, roots := certified(t)
	server := httptest.NewUnstartedServer(h)
	server.TLS, server.EnableHTTP2 = config, protocol == "h2"
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	u, _ := url.Parse(server.URL)
	return &origin{url: u, roots: roots}
}

// certified is a server's configuration for 127.0.0.1, with the certificate that proves it.
func certified(t testing.TB) (config *tls.Config, roots []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"upstream.test"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	config = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return config, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// pool leads to o until the test ends.
func (o *origin) pool(t testing.TB, change ...func(*upstream.Config)) *upstream.Pool {
	t.Helper()
	c := upstream.Config{UpstreamURL: o.url, UpstreamCAs: o.roots, ConnectTimeout: patience}
	for _, f := range change {
		f(&c)
	}
	p, err := upstream.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// post is a request with this body, sent as it comes if length is below 0.
func post(t testing.TB, body io.Reader, length int64) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://upstream.test/v1/messages", body)
	if err != nil {
		t.Fatal(err)
	}
	r.GetBody, r.ContentLength = nil, length
	return r
}

// get is a request without a body.
func get(t testing.TB) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://upstream.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// begun sends r and gives the header of the response, which is closed with the test.
func begun(t testing.TB, p *upstream.Pool, r *http.Request) *http.Response {
	t.Helper()
	c, err := p.Get(r.Context())
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Send(r.Context(), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

// attempt sends r once and reads the whole response.
func attempt(p *upstream.Pool, r *http.Request) (response *http.Response, body string, err error) {
	c, err := p.Get(r.Context())
	if err != nil {
		return nil, "", err
	}
	if response, err = c.Send(r.Context(), r, nil); err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	return response, string(all), err
}

// attemptUntilProcessed sends the request again, a few times, while the upstream provably did
// nothing with it, as a caller may.
func attemptUntilProcessed(p *upstream.Pool, request func() *http.Request) (response *http.Response, body string, err error) {
	for range 3 {
		if response, body, err = attempt(p, request()); !errors.Is(err, upstream.ErrNotProcessed) {
			break
		}
	}
	return response, body, err
}

// succeeds sends a request that must come through.
func succeeds(t testing.TB, p *upstream.Pool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if response, _, err := attempt(p, get(t).WithContext(ctx)); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("a request failed: %v", err)
	}
}

// freesAllSlots waits until no slot is taken, as long as cancelled requests keep theirs at most.
func freesAllSlots(t testing.TB, p *upstream.Pool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(upstream.ResetTime + patience)
	for upstream.InUse(p) > 0 {
		select {
		case <-ticker.C:
		case <-late:
			t.Fatalf("%d slots are taken after the last request", upstream.InUse(p))
		}
	}
}

// header reads the header of a request of HTTP/1.1, and nothing past it.
func header(c net.Conn) *http.Request {
	r, err := http.ReadRequest(bufio.NewReaderSize(oneByOne{c}, 16))
	if err != nil {
		return nil
	}
	return r
}

// nextRequest reads a whole request of HTTP/1.1; nil: there is none.
func nextRequest(in *bufio.Reader) *http.Request {
	r, err := http.ReadRequest(in)
	if err != nil {
		return nil
	}
	_, _ = io.Copy(io.Discard, r.Body)
	return r
}

// oneByOne gives a byte at each read, so that nothing is read ahead.
type oneByOne struct{ io.Reader }

// Read implements io.Reader.
func (r oneByOne) Read(p []byte) (int, error) { return r.Reader.Read(p[:1]) }

// receive gives what c brings, soon.
func receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited too long for %s", what)
		panic("unreachable")
	}
}
