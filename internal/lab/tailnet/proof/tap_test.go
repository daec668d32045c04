package proof_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/tailnet"
)

// tap stands between the daemon and tailscaled: it counts what is asked, and can refuse some of it.
type tap struct {
	socket string

	mu    sync.Mutex
	asked map[string]int // by path
	hangs []string       // paths
}

// newTap refuses the paths that are named.
func newTap(t *testing.T, n *tailnet.Node, refused ...string) *tap {
	t.Helper()
	p := &tap{socket: filepath.Join(daemontest.TempDir(t), "tap.sock"), asked: map[string]int{}}
	l, err := net.Listen("unix", p.socket)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", n.Socket())
		},
	}
	through := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", r.In.Host },
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	server := &http.Server{Handler: p.watch(through, refused), ErrorLog: through.ErrorLog}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-ended })
	return p
}

func (p *tap) watch(next http.Handler, refused []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked[r.URL.Path]++
		hangs := slices.Contains(p.hangs, r.URL.Path)
		p.mu.Unlock()
		if hangs {
			<-r.Context().Done()
			return
		}
		if slices.Contains(refused, r.URL.Path) {
			http.Error(w, "refused", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hang does not respond to these from now on, and to all others.
func (p *tap) hang(paths ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hangs = paths
}

func (p *tap) count(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

// env has the daemon use the tap.
func (p *tap) env() []string { return []string{"TAILSCALE_SOCKET=" + p.socket} }

const (
	statusPath = "/localapi/v0/status"
	whoisPath  = "/localapi/v0/whois"
	busPath    = "/localapi/v0/watch-ipn-bus"
)
