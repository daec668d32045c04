package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
)

// upstream responds
//
//	/echo    what it received
//	/stream  one event, then waits for the gate, then the last event
//	/wait    nothing until the gate opens
//
// and all else with 404.
type upstream struct {
	*httptest.Server
	arrived chan string // the path of each request for /stream and /wait
	gate    chan struct{}
	once    sync.Once
}

const (
	firstEvent = "event: ping\ndata: {\"type\":\"ping\"}\n\n"
	lastEvent  = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
)

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{arrived: make(chan string, 1000), gate: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/stream", u.stream)
	mux.HandleFunc("/wait", u.wait)
	u.Server = httptest.NewServer(mux)
	t.Cleanup(func() { u.open(); u.Close() })
	return u
}

// open lets all waiting requests end.
func (u *upstream) open() { u.once.Do(func() { close(u.gate) }) }

// await waits for the next request for /stream or /wait.
func (u *upstream) await(t *testing.T) {
	t.Helper()
	select {
	case <-u.arrived:
	case <-time.After(daemontest.Patience):
		t.Fatal("no request reached the upstream")
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "%s %s beta=%q body=%q", r.Method, r.RequestURI,
		strings.Join(r.Header.Values("Anthropic-Beta"), "|"), body)
}

func (u *upstream) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, firstEvent)
	http.NewResponseController(w).Flush()
	u.hold(r)
	io.WriteString(w, lastEvent)
}

func (u *upstream) wait(w http.ResponseWriter, r *http.Request) {
	u.hold(r)
	io.WriteString(w, "waited")
}

func (u *upstream) hold(r *http.Request) {
	u.arrived <- r.URL.Path
	select {
	case <-u.gate:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

// mergeBeta is the rule of the shipped configuration.
const mergeBeta = `
header "anthropic-beta" {
  value = "oauth-2025-04-20"
  mode  = "merge"
}
`

// withoutTailnet is a tailscale block without a tailnet.
const withoutTailnet = `
tailscale {
  required = false
}
`

// forwarding returns a configuration with an upstream, more settings of its proxy block, and more
// blocks.
func forwarding(url, inProxy string, blocks ...string) string {
	return fmt.Sprintf("proxy {\n  upstream_url = %q\n  %s\n}\n%s", url, inProxy, strings.Join(blocks, "\n"))
}
