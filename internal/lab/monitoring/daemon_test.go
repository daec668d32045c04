package monitoring_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/faketailscaled"
	"oauth-proxyd/internal/lab/labapi"
)

// daemon is the binary between an API and a tailscaled.
type daemon struct {
	url      string
	dir      string // its configuration and its textfile
	upstream string // what it forwards to
	held     *held
}

// keyLife is how long the host's Tailscale key is still good: soon enough to warn.
const keyLife = 10 * 24 * time.Hour

func startDaemon(t *testing.T) *daemon {
	t.Helper()
	d := &daemon{dir: daemontest.TempDir(t), held: &held{arrived: make(chan struct{}), release: make(chan struct{})}}
	api := httptest.NewServer(d.held.wrap(labapi.Handler(labapi.Config{RequireOAuthBeta: true})))
	t.Cleanup(func() { api.CloseClientConnections(); api.Close() })
	d.upstream = api.URL
	d.configure(t, d.upstream, daemontest.Patience)
	d.runTailscaled(t)
	socket := daemontest.Listen(t, "proxy")
	d.url = socket.URL()
	cmd := exec.Command("oauth-proxyd", "serve", "--config", d.file(), "--log-format", "json")
	cmd.Env = d.environment()
	daemontest.Activate(cmd, socket)
	said := run(t, cmd)
	socket.Close() // only the daemon has it then: if it dies, clients see it
	said.Next(t, `"msg":"serving"`)
	return d
}

// run starts a program and returns what it says.
func run(t *testing.T, cmd *exec.Cmd) *daemontest.Record {
	t.Helper()
	said := daemontest.NewRecord()
	cmd.Stdout, cmd.Stderr = said, said
	daemontest.Start(t, cmd)
	t.Cleanup(func() {
		const enough = 4000
		if text := said.Text(); t.Failed() {
			t.Logf("the output of %s:\n%s", cmd.Path, text[max(0, len(text)-enough):])
		}
	})
	return said
}

func (d *daemon) environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "RUNTIME_DIRECTORY=" + d.dir}
}

func (d *daemon) file() string { return filepath.Join(d.dir, "oauth-proxyd.hcl") }

// configure writes few slots, a rule, and how long an upstream may be silent.
func (d *daemon) configure(t *testing.T, upstream string, silence time.Duration) {
	t.Helper()
	write(t, d.file(), fmt.Sprintf(`
proxy {
  upstream_url            = %[1]q
  response_header_timeout = %[2]q
  idle_timeout            = %[2]q
  max_connections         = 3
  queue_limit             = 1
  retry {
    backoff = "10ms"
  }
}
tailscale {
  socket = %[3]q
}
metrics {
  textfile          = %[4]q
  textfile_interval = "100ms"
}
header "anthropic-beta" {
  value = "oauth-2025-04-20"
  mode  = "merge"
  when {
    bearer_prefix = "sk-ant-oat"
  }
}
`, upstream, silence, d.tailscaled(), filepath.Join(d.textfiles(t), "oauth-proxyd.prom")))
}

// textfiles is the folder that node_exporter reads.
func (d *daemon) textfiles(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(d.dir, "textfiles")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// use applies another configuration.
func (d *daemon) use(t *testing.T, upstream string, silence time.Duration) {
	t.Helper()
	d.configure(t, upstream, silence)
	if !d.reload(t) {
		t.Fatal("a good configuration was refused")
	}
}

// reload asks for it and reports whether the configuration was accepted.
func (d *daemon) reload(t *testing.T) (accepted bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "oauth-proxyd", "reload")
	cmd.Env = d.environment()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	t.Logf("reload: %v: %s", cmd.ProcessState, out)
	return err == nil
}

// held is the API with what makes the limits of a proxy and of an account felt.
type held struct{ arrived, release chan struct{} }

func (h *held) wrap(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			h.hold(r)
			return
		}
		api.ServeHTTP(limited{w, r.Header}, r)
	})
}

// hold responds when it is told to, if the proxy has not given it up by then.
func (h *held) hold(r *http.Request) {
	for _, next := range []chan struct{}{h.arrived, h.release} {
		select {
		case next <- struct{}{}:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// limited says of an account's limits what the request tells it to.
type limited struct {
	http.ResponseWriter
	asked http.Header
}

// Unwrap is for http.ResponseController.
func (l limited) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (l limited) WriteHeader(status int) {
	const unified = "Anthropic-Ratelimit-Unified-"
	for from, to := range map[string]string{
		"X-Account": "Anthropic-Organization-Id", "X-Limit": unified + "Status", "X-Used": unified + "5h-Utilization",
	} {
		if value := l.asked.Get(from); value != "" {
			l.Header().Set(to, value)
		}
	}
	l.ResponseWriter.WriteHeader(status)
}

// runTailscaled has it connected, with a key that is good for keyLife.
func (d *daemon) runTailscaled(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", d.tailscaled())
	if err != nil {
		t.Fatal(err)
	}
	node := faketailscaled.New()
	node.Expire(time.Now().Add(keyLife).UTC().Format(time.RFC3339))
	node.Serve(l)
	t.Cleanup(node.Close)
}

func (d *daemon) tailscaled() string { return filepath.Join(d.dir, "ts.sock") }

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
