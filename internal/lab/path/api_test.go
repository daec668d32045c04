package path_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"oauth-proxyd/internal/lab/labapi"
)

// apiName is the name of the upstream in these tests.
const apiName = "api.example"

// api is the fake Messages API on a host.
type api struct {
	pem  string // what is to be trusted
	cert tls.Certificate
}

// newAPI makes its certificate.
func newAPI(t *testing.T) *api {
	t.Helper()
	cert, ca, err := labapi.NewCertificate(apiName)
	if err != nil {
		t.Fatal(err)
	}
	return &api{pem: string(ca), cert: cert}
}

// serveTLS serves at the address, with the protocols that are named by ALPN.
func (a *api) serveTLS(h *host, address string, api http.Handler, protocols ...string) {
	h.t.Helper()
	p := &http.Protocols{}
	for _, name := range protocols {
		p.SetHTTP1(p.HTTP1() || name == "http/1.1")
		p.SetHTTP2(p.HTTP2() || name == "h2")
	}
	server := &http.Server{Protocols: p, TLSConfig: &tls.Config{Certificates: []tls.Certificate{a.cert}, MinVersion: tls.VersionTLS12}}
	serve(h, address, server, api, func(l net.Listener) error { return server.ServeTLS(l, "", "") })
}

// serve serves in clear.
func (a *api) serve(h *host, address string, api http.Handler) {
	h.t.Helper()
	server := &http.Server{}
	serve(h, address, server, api, server.Serve)
}

func serve(h *host, address string, server *http.Server, api http.Handler, run func(net.Listener) error) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	server.Handler, server.ReadHeaderTimeout = api, time.Minute
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	l := h.listen(address)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = run(l) // it ends with the test
	}()
	h.t.Cleanup(func() {
		cancel()
		server.Close()
		<-done
	})
}

// keyPair is the certificate and its key as one PEM file, such as HAProxy takes.
func (a *api) keyPair(t *testing.T) string {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(a.cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return a.pem + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

// barrier lets messages through when that many have come.
type barrier struct {
	missing atomic.Int64
	open    chan struct{}
}

func newBarrier(n int64) *barrier {
	b := &barrier{open: make(chan struct{})}
	b.missing.Store(n)
	return b
}

// wrap puts the barrier in front of next.
func (b *barrier) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			b.pass(r.Context())
		}
		next.ServeHTTP(w, r)
	})
}

func (b *barrier) pass(ctx context.Context) {
	if b.missing.Add(-1) == 0 {
		close(b.open)
	}
	select {
	case <-b.open:
	case <-ctx.Done():
	}
}
