package proof_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/tailnet"
)

// recorder is an upstream that remembers which requests reached it.
type recorder struct {
	url string

	mu    sync.Mutex
	paths []string
}

func newRecorder(t *testing.T, n *tailnet.Node) *recorder {
	t.Helper()
	w := &recorder{}
	w.url = serve(t, n, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.paths = append(w.paths, r.URL.Path)
		w.mu.Unlock()
		fmt.Fprintf(rw, "%s %s", r.Method, r.URL.Path)
	}))
	return w
}

func (w *recorder) saw(path string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.paths, path)
}

// wantOutside checks that the response refuses the request for path with one of the codes, and that
// the request did not reach the upstream. Without codes both are right: the client is refused, or
// nobody can tell who it is.
func (w *recorder) wantOutside(t *testing.T, path string, a daemontest.Response, codes ...string) {
	t.Helper()
	if len(codes) == 0 {
		codes = []string{"access_denied", "tailnet_unavailable"}
	}
	status := map[string]int{"access_denied": http.StatusForbidden, "tailnet_unavailable": http.StatusServiceUnavailable}
	if !slices.ContainsFunc(codes, func(c string) bool { return a.Status == status[c] && strings.Contains(a.Body, c) }) {
		t.Errorf("%s: status %d, want one of %q; body: %s", path, a.Status, codes, a.Body)
	}
	if w.saw(path) {
		t.Errorf("%s: it reached the upstream", path)
	}
}

// wantLocal checks that an ordinary user of the daemon's host is served, on loopback and on the
// addresses.
func (d *daemon) wantLocal(path string, addresses ...string) {
	d.t.Helper()
	for _, address := range append([]string{"127.0.0.1"}, addresses...) {
		a := getHere(d.t, d.setting.node, d.at(address)+path)
		if a.Status != http.StatusOK {
			d.t.Errorf("%s: a program on this host at %s: status %d: %s", path, address, a.Status, a.Body)
		}
	}
}

// reach sends requests from a node until one gets a response. Routes and forwards take a moment to
// be active.
func reach(t *testing.T, from *tailnet.Node, url string) (a daemontest.Response) {
	t.Helper()
	daemontest.Eventually(t, "a response from "+url, func() bool {
		c := from.Client()
		defer c.CloseIdleConnections()
		c.Timeout = 3 * time.Second // more than the daemon waits for tailscaled
		var err error
		a, err = daemontest.Ask(c, http.MethodGet, url, "")
		return err == nil
	})
	return a
}

// on runs a command on the host of a node.
func on(t *testing.T, n *tailnet.Node, name string, args ...string) string {
	t.Helper()
	out, err := n.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}
