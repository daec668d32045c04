package doctor_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/doctor"
)

// world is a healthy host, until a test breaks something: a configuration, a daemon that responds
// on its admin socket and on its port, a tailscaled in userspace mode, and an upstream.
type world struct {
	t           *testing.T
	dir         string
	config      string
	configErr   error
	serviceOnly bool // only the service refuses the configuration
	peer        string
	paste       bool
	units       string // what systemctl shows; empty: no systemd
	port        uint16
	upstream    *httptest.Server
	status      *admin.Status // nil: no daemon runs
	dryRun      admin.ReloadOutcome
	health      http.HandlerFunc
	listener    net.Listener
	tailscaled  map[string]http.HandlerFunc // by call; nil: none runs
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "doctor") // short, for sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{t: t, dir: dir, health: ourHealth}
	w.upstream = httptest.NewServer(respondAs(http.StatusUnauthorized, "application/json", "req_011", `{"type":"error"}`))
	t.Cleanup(w.upstream.Close)
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.listener.Close() })
	w.port = w.listener.Addr().(*net.TCPAddr).AddrPort().Port()
	w.config = fmt.Sprintf(`proxy {
  listen_addr  = ":%d"
  upstream_url = %q
}
tailscale {
  socket = %q
}
header "anthropic-beta" {
  value = "oauth-2025-04-20"
  mode  = "merge"
}
`, w.port, w.upstream.URL, filepath.Join(dir, "ts.sock"))
	w.dryRun.Changes = []config.Change{}
	w.status = &admin.Status{
		Status: "healthy", State: "running", Version: "v1", PID: 4711, StartedAt: time.Now(),
		Sockets: []admin.SocketStatus{{Name: "proxy", Network: "tcp", Address: fmt.Sprintf("[::]:%d", w.port)}},
		Tailnet: admin.TailnetStatus{Status: "connected", Name: "box.tail.ts.net"},
	}
	w.tailscaled = map[string]http.HandlerFunc{
		"GET status":                     say(statusOf("Running", "")),
		"GET prefs":                      say(`{"CorpDNS":true}`),
		"GET serve-config":               say(`null`),
		"GET whois":                      say(`{"Node":{"StableID":"n3","Name":"ai.tail.ts.net.","Tags":["tag:aperture"]},"UserProfile":{}}`),
		"GET debug-rejects":              say(`{"Enabled":true}`),
		"POST debug-packet-filter-rules": say(`[{"SrcIPs":["*"],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":65535}}]}]`),
	}
	return w
}

// respondAs is an upstream that always sends this response; id "" sends no request-id.
func respondAs(status int, kind, id, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		if id != "" {
			w.Header().Set("Request-Id", id)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// statusOf is a status with two peers.
func statusOf(state, more string) string {
	return fmt.Sprintf(`{"Version":"1.102.5-t1","TUN":false,"BackendState":%q,"TailscaleIPs":["100.64.0.1"],
	"CurrentTailnet":{"MagicDNSEnabled":true,"MagicDNSSuffix":"tail.ts.net"},"Health":[],
	"Self":{"ID":"n1","HostName":"box","DNSName":"box.tail.ts.net.","UserID":1,"TailscaleIPs":["100.64.0.1"],"Online":true},
	"Peer":{
		"nodekey:0000000000000000000000000000000000000000000000000000000000000002":
			{"ID":"n2","HostName":"laptop","DNSName":"laptop.tail.ts.net.","UserID":2,"TailscaleIPs":["100.64.0.2"],"Online":true},
		"nodekey:0000000000000000000000000000000000000000000000000000000000000003":
			{"ID":"n3","HostName":"gateway","DNSName":"ai.tail.ts.net.","UserID":3,"Tags":["tag:aperture"],"TailscaleIPs":["100.64.0.3"],"Online":true}},
	"User":{"2":{"LoginName":"ann@example.com"}}%s}`, state, more)
}

func say(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }
}

func deny(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "access denied", http.StatusForbidden)
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func ourHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("X-Request-Id", "req_ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	io.WriteString(w, `{"status":"healthy"}`)
}

// replace changes the configuration.
func (w *world) replace(old, new string) {
	w.t.Helper()
	if !strings.Contains(w.config, old) {
		w.t.Fatalf("the configuration has no %q", old)
	}
	w.config = strings.ReplaceAll(w.config, old, new)
}

func (w *world) allow(entries string) {
	w.config += "access {\n  allow = [" + entries + "]\n}\n"
}

// examine starts the world as it is now, and runs doctor.
func (w *world) examine() *doctor.Report {
	w.t.Helper()
	w.t.Setenv("RUNTIME_DIRECTORY", w.dir)
	if w.status != nil {
		w.serve("unix", filepath.Join(w.dir, "admin.sock"), w.admin())
	}
	if w.health != nil {
		w.serveOn(w.listener, w.health)
	} else {
		w.listener.Close()
	}
	if w.tailscaled != nil {
		mux := http.NewServeMux()
		for call, respond := range w.tailscaled {
			method, name, _ := strings.Cut(call, " ")
			mux.HandleFunc(method+" /localapi/v0/"+name, respond)
		}
		w.serve("unix", filepath.Join(w.dir, "ts.sock"), mux)
	}
	c := doctor.Config{
		File: "test.hcl", Daemon: admin.NewClient(), Version: "v1", Peer: w.peer, Paste: w.paste,
		Load: func() (*config.Config, error) {
			c, err := config.Parse("test.hcl", []byte(w.config))
			if w.configErr != nil && !w.serviceOnly {
				return nil, w.configErr
			}
			return c, cmp.Or(err, w.configErr)
		},
	}
	if w.units != "" {
		c = c.OnHost(strings.ReplaceAll(w.units, ":8080", fmt.Sprintf(":%d", w.port)))
	}
	return doctor.Run(w.t.Context(), c)
}

func (w *world) admin() http.Handler {
	mux := http.NewServeMux()
	respond := func(v any) http.HandlerFunc {
		return func(response http.ResponseWriter, _ *http.Request) {
			response.Header().Set("Server", "oauth-proxyd")
			_ = json.NewEncoder(response).Encode(v)
		}
	}
	mux.HandleFunc("GET /status", respond(w.status))
	mux.HandleFunc("POST /reload/dry-run", respond(w.dryRun))
	return mux
}

func (w *world) serve(network, address string, h http.Handler) {
	w.t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.serveOn(l, h)
}

func (w *world) serveOn(l net.Listener, h http.Handler) {
	server := httptest.NewUnstartedServer(h)
	server.Listener.Close()
	server.Listener = l
	server.Start()
	w.t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
}

// firstFault is the first finding that is neither ok nor unknown.
func firstFault(r *doctor.Report) (doctor.Finding, bool) {
	i := slices.IndexFunc(r.Findings, func(f doctor.Finding) bool { return f.Status == doctor.Fail || f.Status == doctor.Warn })
	if i < 0 {
		return doctor.Finding{}, false
	}
	return r.Findings[i], true
}

func find(r *doctor.Report, check string) doctor.Finding {
	for _, f := range r.Findings {
		if f.Check == check {
			return f
		}
	}
	return doctor.Finding{}
}

func lacks(f doctor.Finding, words []string) bool {
	text := f.Seen + "\n" + strings.Join(f.Fix, "\n")
	return slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}
