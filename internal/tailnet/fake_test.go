package tailnet_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"oauth-proxyd/internal/tailnet"
)

// daemon is a fake tailscaled: the three calls of the local API that we make, on a Unix socket,
// with responses that a test may change at any time.
type daemon struct {
	socket string
	server *http.Server
	served sync.WaitGroup

	mu       sync.Mutex
	status   http.HandlerFunc
	whois    http.HandlerFunc
	bus      http.HandlerFunc
	watchers map[chan string]bool
	watched  chan string   // gets the mask of each new watcher
	reads    chan struct{} // gets one for each status call
}

// startDaemon starts one in the Running state, on a socket of its own.
func startDaemon(t *testing.T) *daemon {
	t.Helper()
	d := &daemon{
		socket:   socketPath(t),
		watchers: map[chan string]bool{},
		watched:  make(chan string, 10_000),
		reads:    make(chan struct{}, 100_000),
	}
	d.setStatus(statusJSON("Running", ""))
	d.set(&d.bus, d.serveOwnBus)
	d.setWhoIs(http.StatusNotFound, "no match for IP:port\n")
	d.listen(t)
	t.Cleanup(d.stop)
	return d
}

// socketPath is short, for the path of a Unix socket must be.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tailnet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "ts.sock")
}

func (d *daemon) listen(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /localapi/v0/status", d.serveStatus)
	mux.HandleFunc("GET /localapi/v0/whois", func(w http.ResponseWriter, r *http.Request) { d.get(&d.whois)(w, r) })
	mux.HandleFunc("GET /localapi/v0/watch-ipn-bus", d.serveBus)
	d.server = &http.Server{Handler: mux}
	d.served.Go(func() { _ = d.server.Serve(ln) })
}

// stop ends the daemon as systemd would: its socket file goes too.
func (d *daemon) stop() {
	d.server.Close()
	d.served.Wait()
}

func (d *daemon) get(h *http.HandlerFunc) http.HandlerFunc {
	d.mu.Lock()
	defer d.mu.Unlock()
	return *h
}

func (d *daemon) set(h *http.HandlerFunc, to http.HandlerFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*h = to
}

func (d *daemon) serveStatus(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != "peers=false" {
		http.Error(w, "a status with peers is too much to ask for", http.StatusTeapot)
		return
	}
	response := d.get(&d.status) // before anybody learns of this call and changes it
	d.reads <- struct{}{}
	response(w, r)
}

func (d *daemon) serveBus(w http.ResponseWriter, r *http.Request) {
	d.watched <- r.URL.Query().Get("mask")
	d.get(&d.bus)(w, r)
}

// serveOwnBus speaks at once, as asked by NotifyInitialState, and then hands on what notify is
// given.
func (d *daemon) serveOwnBus(w http.ResponseWriter, r *http.Request) {
	lines := make(chan string, 1000)
	d.mu.Lock()
	d.watchers[lines] = true
	d.mu.Unlock()
	defer func() { d.mu.Lock(); delete(d.watchers, lines); d.mu.Unlock() }()
	line := `{"Version":"1.102.5","SessionID":"f00","State":6}`
	for {
		io.WriteString(w, line+"\n")
		w.(http.Flusher).Flush()
		select {
		case line = <-lines:
		case <-r.Context().Done():
			return
		}
	}
}

// notify sends one line to all watchers of the bus.
func (d *daemon) notify(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for lines := range d.watchers {
		lines <- line
	}
}

// become changes the status, and tells the bus as tailscaled does.
func (d *daemon) become(body string) {
	d.setStatus(body)
	d.notify(`{"Version":"1.102.5","State":5}`)
}

func (d *daemon) setStatus(body string) { d.set(&d.status, respond(http.StatusOK, body)) }

func (d *daemon) setWhoIs(code int, body string) { d.set(&d.whois, respond(code, body)) }

func respond(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

// hang accepts the request and never responds.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// stall begins an response and never goes on.
func stall(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, "{")
	w.(http.Flusher).Flush()
	hang(w, r)
}

// statusJSON is what tailscaled 1.102 says of a node in that state; more is put before the end,
// beginning with a comma.
func statusJSON(state, more string) string {
	return fmt.Sprintf(`{"Version":"1.102.5-t1","TUN":true,"BackendState":%q,"HaveNodeKey":true,
		"TailscaleIPs":["100.64.0.7","fd7a:115c:a1e0::7"],
		"Self":{"HostName":"box","DNSName":"box.tail.ts.net.","TailscaleIPs":["100.64.0.7"]},
		"Health":[]%s}`, state, more)
}

// withKeyExpiry is a status whose node key expires at that time.
func withKeyExpiry(state string, at time.Time) string {
	self := `"Self":{"KeyExpiry":"` + at.Format(time.RFC3339) + `",`
	return strings.Replace(statusJSON(state, ""), `"Self":{`, self, 1)
}

// commands makes PATH a folder with these scripts and what they need.
func commands(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	return dir
}

// patience is the attempt's timeout, short only where the response never comes.
func patience(name string) time.Duration {
	if strings.HasPrefix(name, "hangs") {
		return 50 * time.Millisecond
	}
	return 5 * time.Second
}

func client(socket string) *tailnet.Client {
	return tailnet.New(tailnet.Config{Socket: socket})
}
