package sdk_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// way is one way to an API, and that API.
type way struct {
	base     string // URL without a trailing slash
	upstream *upstream
	http     *http.Client
	log      *daemontest.Record // of the daemon; nil without one
}

// lane is an API twice: as it is, and behind the daemon.
type lane struct {
	direct, through way
	protocol        string // that the API offers
}

// onEachLane runs a test for both kinds of API, with new ones each.
func onEachLane(t *testing.T, test func(*testing.T, lane)) {
	t.Helper()
	for name, secure := range map[string]bool{"HTTP1": false, "TLS and HTTP2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newLane(t, secure))
		})
	}
}

func newLane(t *testing.T, secure bool) lane {
	t.Helper()
	plain, behind := newUpstream(t, secure), newUpstream(t, secure)
	protocol := "HTTP/1.1"
	if secure {
		protocol = "HTTP/2.0"
	}
	d := startDaemon(t, forwarding(t, behind))
	return lane{
		direct:   newWay(t, plain.URL, plain, nil),
		through:  newWay(t, d.base, behind, d.log),
		protocol: protocol,
	}
}

// newWay has an HTTP client that leaves no connection behind.
func newWay(t *testing.T, base string, u *upstream, log *daemontest.Record) way {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(u.certificate())
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return way{base: base, upstream: u, http: &http.Client{Transport: transport}, log: log}
}

// daemon is the program as it runs.
type daemon struct {
	*daemontest.Process
	base string
	log  *daemontest.Record
	exit int // that is expected
}

// startDaemon runs the program with the shipped file and these settings after it. The end of the
// test is a stop as by systemd, which must be clean.
func startDaemon(t *testing.T, settings string) *daemon {
	t.Helper()
	dir := daemontest.TempDir(t)
	shipped, err := os.ReadFile("../../../etc/oauth-proxyd.hcl")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "oauth-proxyd.hcl")
	write(t, file, append(shipped, settings...))
	socket := daemontest.Listen(t, "proxy")
	cmd := exec.Command("oauth-proxyd", "serve", "--config", file, "--log-format", "json")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "RUNTIME_DIRECTORY=" + dir}
	d := &daemon{base: socket.URL(), log: daemontest.NewRecord()}
	cmd.Stderr = d.log
	daemontest.Activate(cmd, socket)
	d.Process = daemontest.Start(t, cmd)
	socket.Close() // only the daemon has it then: if it dies, clients see it
	t.Cleanup(func() { d.finish(t) })
	return d
}

// finish stops the daemon, unless the test has done so, and looks at what it leaves.
func (d *daemon) finish(t *testing.T) {
	t.Helper()
	if d.exit == 0 {
		d.Signal(t, syscall.SIGTERM)
	}
	if code := d.Exit(t); code != d.exit {
		t.Errorf("the daemon ended with %d, want %d", code, d.exit)
	}
	if strings.Contains(d.log.Text(), daemontest.APIKey) || strings.Contains(d.log.Text(), daemontest.OAuthToken) {
		t.Error("a credential is in the log")
	}
	if t.Failed() {
		t.Logf("the daemon's log:\n%s", d.log.Text())
	}
}

// forwarding are settings for an API, without a tailnet. More of the proxy block may follow.
func forwarding(t *testing.T, u *upstream, proxy ...string) string {
	t.Helper()
	ca := ""
	if pem := u.certificate(); pem != nil {
		ca = filepath.Join(t.TempDir(), "ca.pem")
		write(t, ca, pem)
	}
	return fmt.Sprintf("\nproxy {\n  upstream_url = %q\n  upstream_ca_file = %q\n  %s\n}\ntailscale {\n  required = false\n}\n",
		u.URL, ca, strings.Join(proxy, "\n  "))
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
