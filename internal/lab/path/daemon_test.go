package path_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
)

// daemon is the program on a host, in front of an upstream.
type daemon struct {
	host   *host
	dir    string // its runtime directory
	config string
	roots  string // the file of the certificates that its system trusts
	url    string
	log    *daemontest.Record
}

// startDaemon runs it with settings of the block proxy, on a system that trusts the certificates in
// roots.
func startDaemon(h *host, roots, settings string) *daemon {
	h.t.Helper()
	d := &daemon{host: h, dir: daemontest.TempDir(h.t), log: daemontest.NewRecord()}
	d.roots = h.write("roots.pem", roots)
	d.config = h.write("oauth-proxyd.hcl", fmt.Sprintf("proxy {\n%s\n}\ntailscale {\n  required = false\n}\n", settings))
	socket := daemontest.Listen(h.t, "proxy")
	d.url = socket.URL()
	cmd := d.command("serve", "--config", d.config, "--log-format", "json")
	cmd.Stderr = d.log
	daemontest.Activate(cmd, socket)
	p := daemontest.Start(h.t, cmd)
	socket.Close() // only the daemon has it now
	d.log.Next(h.t, `"msg":"serving"`)
	h.t.Cleanup(func() {
		p.Stop(h.t)
		if h.t.Failed() {
			h.t.Log(d.log.Text())
		}
		if strings.Contains(d.log.Text(), daemontest.OAuthToken) {
			h.t.Error("a credential is in the log")
		}
	})
	return d
}

func (d *daemon) command(args ...string) *exec.Cmd {
	cmd := d.host.command("oauth-proxyd", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "RUNTIME_DIRECTORY=" + d.dir, "SSL_CERT_FILE=" + d.roots, "SSL_CERT_DIR=" + filepath.Join(d.dir, "none")}
	return cmd
}

// ask sends a message for a model.
func (d *daemon) ask(model string, stream bool) (daemontest.Response, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	body := fmt.Sprintf(`{"model":%q,"max_tokens":9,"stream":%v,"messages":[{"role":"user","content":"hello"}]}`, model, stream)
	return daemontest.Ask(client, http.MethodPost, d.url+"/v1/messages", body,
		"Authorization", "Bearer "+daemontest.OAuthToken, "Content-Type", "application/json", "Anthropic-Version", "2023-06-01")
}

// mustAsk wants the message.
func (d *daemon) mustAsk() {
	d.host.t.Helper()
	response, err := d.ask("claude", false)
	if err != nil {
		d.host.t.Fatal(err)
	}
	response.Want(d.host.t, http.StatusOK, "Hello from the mock API!")
}

// route is what "status" says of the path to the upstream.
type route struct {
	Proxy       string
	Connections int
}

type status struct {
	Upstream route
	Requests struct {
		LastSuccess time.Time `json:"last_success"`
	}
	Slowest *struct {
		Silence float64 `json:"silence_ms"`
	}
}

// status asks the running daemon.
func (d *daemon) status() (s status) {
	d.host.t.Helper()
	out, err := d.command("status", "--json").Output()
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	if err != nil {
		d.host.t.Fatalf("status: %v: %s", err, out)
	}
	return s
}

// finding is what "doctor" says of one step.
type finding struct {
	Check, Status, Seen string
	Fix                 []string
}

// findings returns doctor's findings about the upstream.
func (d *daemon) findings() []finding {
	d.host.t.Helper()
	out, _ := d.command("doctor", "--config", d.config, "--json").Output() // 1: it misses a listener on this host
	var report struct{ Findings []finding }
	if err := json.Unmarshal(out, &report); err != nil {
		d.host.t.Fatalf("doctor: %v: %s", err, out)
	}
	var found []finding
	for _, f := range report.Findings {
		if strings.HasPrefix(f.Check, "upstream") {
			found = append(found, f)
		}
	}
	return found
}

// want looks for a finding of that status with all the words, in what was seen or in what to do.
func want(t *testing.T, all []finding, check, status string, words ...string) finding {
	t.Helper()
	for _, f := range all {
		if f.Check == check && f.Status == status && daemontest.ContainsAll(f.Seen+"\n"+strings.Join(f.Fix, "\n"), words) {
			return f
		}
	}
	t.Errorf("no %q is %s with %q in %+v", check, status, words, all)
	return finding{}
}
