package tailnet_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/faketailscaled"
	"oauth-proxyd/internal/tailnet"
)

// daemon is a tailscaled on a socket of its own.
type daemon struct {
	*faketailscaled.Server
	socket  string
	watched chan string   // gets the mask of each new watcher
	reads   chan struct{} // gets one for each status call
}

// startDaemon starts one in the Running state.
func startDaemon(t *testing.T) *daemon {
	t.Helper()
	d := &daemon{faketailscaled.New(), socketPath(t), make(chan string, 10_000), make(chan struct{}, 100_000)}
	d.SetStatus(statusJSON("Running", ""))
	d.Asked = func(r *http.Request) {
		switch path.Base(r.URL.Path) {
		case "status":
			if r.URL.RawQuery != "peers=false" {
				t.Errorf("asked for the status with %q: its peers are too much to ask for", r.URL.RawQuery)
			}
			d.reads <- struct{}{}
		case "watch-ipn-bus":
			d.watched <- r.URL.Query().Get("mask")
		}
	}
	d.listen(t)
	t.Cleanup(d.Close)
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
	d.Serve(ln)
}

// become changes the status, and tells the bus as tailscaled does.
func (d *daemon) become(body string) {
	d.SetStatus(body)
	d.Notify()
}

func respond(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

// hang accepts the request and never responds.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// stall begins a response and never goes on.
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
