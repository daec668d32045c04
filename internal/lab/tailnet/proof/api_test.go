package proof_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"oauth-proxyd/internal/lab/labapi"
	"oauth-proxyd/internal/lab/tailnet"
)

// gated is an upstream whose responses begin and then wait for the gate.
type gated struct {
	arrived chan struct{}
	gate    chan struct{}
	url     string
}

const (
	firstEvent = "event: ping\ndata: {\"type\":\"ping\"}\n\n"
	lastEvent  = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
)

// newGated serves on a node, where the daemon on it finds it on loopback.
func newGated(t *testing.T, n *tailnet.Node) *gated {
	t.Helper()
	g := &gated{arrived: make(chan struct{}, 100), gate: make(chan struct{})}
	g.url = serve(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stream" {
			fmt.Fprintf(w, "%s %s", r.Method, r.URL.Path)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, firstEvent)
		http.NewResponseController(w).Flush()
		g.arrived <- struct{}{}
		select {
		case <-g.gate:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, lastEvent)
	}))
	return g
}

// serve serves on a node's loopback and returns the URL there.
func serve(t *testing.T, n *tailnet.Node, handler http.Handler) (url string) {
	t.Helper()
	l, err := n.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-ended })
	return "http://" + l.Addr().String()
}

// messages is the Messages API over TLS and HTTP/2. Its streams begin and then wait for the gate.
type messages struct {
	*httptest.Server
	caFile string
	gate   chan struct{}

	mu   sync.Mutex
	seen []labapi.Request
}

// newMessages serves on a node's loopback.
func newMessages(t *testing.T, n *tailnet.Node) *messages {
	t.Helper()
	m := &messages{gate: make(chan struct{})}
	l, err := n.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.Server = httptest.NewUnstartedServer(m.hold(labapi.Handler(labapi.Config{RequireOAuthBeta: true, Observe: m.observe})))
	m.Listener.Close()
	m.Listener, m.EnableHTTP2 = l, true
	m.StartTLS()
	t.Cleanup(func() { m.CloseClientConnections(); m.Close() })
	m.caFile = filepath.Join(t.TempDir(), "ca.pem")
	trusted := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.Certificate().Raw})
	if err := os.WriteFile(m.caFile, trusted, 0o644); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *messages) observe(r labapi.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = append(m.seen, r)
}

func (m *messages) requests() []labapi.Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]labapi.Request(nil), m.seen...)
}

func (m *messages) hold(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&heldWriter{ResponseWriter: w, gate: m.gate, gone: r.Context().Done()}, r)
	})
}

// heldWriter lets one write pass.
type heldWriter struct {
	http.ResponseWriter
	gate, gone <-chan struct{}
	writes     int
}

// Unwrap is for http.ResponseController.
func (w *heldWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write is io.Writer's.
func (w *heldWriter) Write(p []byte) (int, error) {
	if w.writes++; w.writes > 1 {
		select {
		case <-w.gate:
		case <-w.gone:
		}
	}
	return w.ResponseWriter.Write(p)
}
