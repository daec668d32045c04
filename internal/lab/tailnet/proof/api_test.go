package proof_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"oauth-proxyd/internal/fakeupstream"
	"oauth-proxyd/internal/lab/tailnet"
)

// oauthToken has the right form, and nobody has it.
const oauthToken = "sk-ant-oat01-made-up"

// gated is an upstream whose answers begin and then wait for the gate.
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

// messages is the Messages API over TLS and HTTP/2.
type messages struct {
	*fakeupstream.Server
	caFile string

	mu   sync.Mutex
	seen []fakeupstream.Request
}

func newMessages(t *testing.T) *messages {
	t.Helper()
	m := &messages{}
	var err error
	m.Server, err = fakeupstream.Start(fakeupstream.Config{
		TLS: true, HTTP2: true, RequireOAuthBeta: true, EventInterval: 50 * time.Millisecond, Observe: m.observe,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	m.caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(m.caFile, m.CertificatePEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *messages) observe(r fakeupstream.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = append(m.seen, r)
}

func (m *messages) requests() []fakeupstream.Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]fakeupstream.Request(nil), m.seen...)
}
