package main_test

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
)

// tailscaled is a stand-in: the calls of the local API that the program makes.
type tailscaled struct {
	path string

	mu       sync.Mutex
	status   string
	peer     string // who all that is asked about is; empty: nobody
	hangs    bool
	watchers map[chan struct{}]bool
	server   *http.Server
	serving  sync.WaitGroup
}

// newTailscaled has a path and does not run yet.
func newTailscaled(t *testing.T) *tailscaled {
	t.Helper()
	d := &tailscaled{path: filepath.Join(tempDir(t), "tailscaled.sock"), watchers: map[chan struct{}]bool{}}
	t.Cleanup(d.stop)
	return d
}

// runTailscaled runs in that backend state.
func runTailscaled(t *testing.T, state string) *tailscaled {
	t.Helper()
	d := newTailscaled(t)
	d.become(state)
	d.run(t)
	return d
}

func (d *tailscaled) run(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", d.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := makeWritable(d.path); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /localapi/v0/status", d.serveStatus)
	mux.HandleFunc("GET /localapi/v0/watch-ipn-bus", d.serveBus)
	mux.HandleFunc("GET /localapi/v0/whois", d.serveWhoIs)
	d.server = &http.Server{Handler: mux}
	d.serving.Go(func() { _ = d.server.Serve(l) })
}

// stop ends it as systemd does: the socket goes too.
func (d *tailscaled) stop() {
	if d.server != nil {
		d.server.Close()
		d.serving.Wait()
	}
	os.Remove(d.path)
}

// loginURL is a secret: whoever has it can claim the node.
const loginURL = "https://login.tailscale.com/a/5ecre7109in"

// become changes the state and tells the watchers of the bus.
func (d *tailscaled) become(state string) {
	more := ""
	if state == "NeedsLogin" {
		more = fmt.Sprintf(`,"AuthURL":%q`, loginURL)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = fmt.Sprintf(`{"Version":"1.102.5","TUN":true,"BackendState":%q,"HaveNodeKey":true,
		"TailscaleIPs":["100.64.0.7"],"Self":{"HostName":"box","DNSName":"box.tail.ts.net.",
		"TailscaleIPs":["100.64.0.7"]},"Health":[]%s}`, state, more)
	for w := range d.watchers {
		select {
		case w <- struct{}{}:
		default: // it has one to read
		}
	}
}

func (d *tailscaled) hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hangs = true
}

func (d *tailscaled) answer(status string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = status
}

func (d *tailscaled) serveStatus(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	status, hangs := d.status, d.hangs
	d.mu.Unlock()
	if hangs {
		<-r.Context().Done()
		return
	}
	io.WriteString(w, status)
}

// warn has it report when the node's key expires, and a health warning.
func (d *tailscaled) warn(expiry, warning string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = strings.NewReplacer(
		`"HostName":"box"`, fmt.Sprintf(`"HostName":"box","KeyExpiry":%q`, expiry),
		`"Health":[]`, fmt.Sprintf(`"Health":[%q]`, warning),
	).Replace(d.status)
}

// deliver has it run without a network device, so that who connects from loopback
// may be a peer, and is this one.
func (d *tailscaled) deliver(peer string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = strings.Replace(d.status, `"TUN":true`, `"TUN":false`, 1)
	d.peer = peer
}

func (d *tailscaled) serveWhoIs(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	peer, hangs := d.peer, d.hangs
	d.mu.Unlock()
	switch {
	case hangs:
		http.Error(w, "busy", http.StatusInternalServerError)
	case peer == "":
		http.NotFound(w, r)
	default:
		io.WriteString(w, peer)
	}
}

func (d *tailscaled) serveBus(w http.ResponseWriter, r *http.Request) {
	changed := make(chan struct{}, 1)
	d.mu.Lock()
	d.watchers[changed] = true
	d.mu.Unlock()
	defer func() { d.mu.Lock(); delete(d.watchers, changed); d.mu.Unlock() }()
	for {
		io.WriteString(w, `{"Version":"1.102.5","State":6}`+"\n")
		http.NewResponseController(w).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// onTailnet is a configuration block that asks this tailscaled.
func onTailnet(d *tailscaled, whenDown string) string {
	return fmt.Sprintf("tailscale {\n  socket = %q\n  when_down = %q\n}\n", d.path, whenDown)
}
