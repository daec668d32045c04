package host_test

import (
	"crypto/tls"
	"log/slog"
	"net/http/httptest"
	"slices"
	"sync"

	"oauth-proxyd/internal/lab/labapi"
)

// apiName is the name that the shipped configuration sends to.
const apiName = "api.anthropic.com"

// api stands on the host for Anthropic's, under its name and on its port, with a certificate that
// the host trusts: so the shipped configuration is tested as it is.
type api struct {
	mu   sync.Mutex
	seen []labapi.Request
}

func (l *lab) startAPI() *api {
	l.t.Helper()
	listener, err := l.Listen("tcp", "127.0.0.1:443")
	if err != nil {
		l.t.Fatal(err)
	}
	a := &api{}
	server := httptest.NewUnstartedServer(labapi.Handler(labapi.Config{RequireOAuthBeta: true, Observe: a.observe}))
	server.Listener.Close()
	server.Listener = listener
	server.EnableHTTP2 = true
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	certificate, trusted, err := labapi.NewCertificate(apiName)
	if err != nil {
		l.t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	l.t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	l.must("sh", "-euc", `echo "127.0.0.1 $1" >>/etc/hosts; echo "$2" >>/etc/ssl/certs/ca-certificates.crt`, "sh", apiName, string(trusted))
	return a
}

func (a *api) observe(r labapi.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = append(a.seen, r)
}

// last is the latest request to that path.
func (a *api) last(path string) (labapi.Request, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range slices.Backward(a.seen) {
		if r.Target == path {
			return r, true
		}
	}
	return labapi.Request{}, false
}

// received is a header field of the latest request to that path.
func (l *lab) received(path, field string) string {
	l.t.Helper()
	r, ok := l.api.last(path)
	if !ok {
		l.t.Errorf("the API received no %s", path)
		return ""
	}
	return r.Header.Get(field)
}
