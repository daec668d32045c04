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
	base, log := startDaemon(t, behind)
	return lane{
		direct:   newWay(t, plain.URL, plain, nil),
		through:  newWay(t, base, behind, log),
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

// startDaemon runs the program in front of an API. The end of the test is a stop as by
// systemd, which must be clean.
func startDaemon(t *testing.T, u *upstream) (base string, log *daemontest.Record) {
	t.Helper()
	dir := daemontest.TempDir(t)
	socket := daemontest.Listen(t, "proxy")
	cmd := exec.Command("oauth-proxyd", "serve", "--config", configure(t, dir, u), "--log-format", "json")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "RUNTIME_DIRECTORY=" + dir}
	log = daemontest.NewRecord()
	cmd.Stderr = log
	daemontest.Activate(cmd, socket)
	daemon := daemontest.Start(t, cmd)
	socket.Close() // the daemon alone has it then: if it dies, clients see it
	t.Cleanup(func() {
		if code := daemon.Stop(t); code != 0 {
			t.Errorf("the daemon ended with %d", code)
		}
		if strings.Contains(log.Text(), daemontest.APIKey) || strings.Contains(log.Text(), daemontest.OAuthToken) {
			t.Error("a credential is in the log")
		}
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", log.Text())
		}
	})
	return socket.URL(), log
}

// configure writes the shipped file, with that API for Anthropic's, and without
// a tailnet.
func configure(t *testing.T, dir string, u *upstream) (file string) {
	t.Helper()
	shipped, err := os.ReadFile("../../../etc/oauth-proxyd.hcl")
	if err != nil {
		t.Fatal(err)
	}
	ca := ""
	if pem := u.certificate(); pem != nil {
		ca = filepath.Join(dir, "ca.pem")
		write(t, ca, pem)
	}
	file = filepath.Join(dir, "oauth-proxyd.hcl")
	write(t, file, fmt.Appendf(shipped, "\nproxy {\n  upstream_url = %q\n  upstream_ca_file = %q\n}\ntailscale {\n  required = false\n}\n", u.URL, ca))
	return file
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
