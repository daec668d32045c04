package sdk_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take that is to happen. A busy machine is slow.
const patience = 30 * time.Second

// Credentials of the right form that nobody has.
const (
	apiKey     = "sk-ant-api03-made-up"
	oauthToken = "sk-ant-oat01-made-up"
)

// way is one way to an API, and that API.
type way struct {
	base     string // URL without a trailing slash
	upstream *upstream
	http     *http.Client
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
	return lane{
		direct:   newWay(t, plain.URL, plain),
		through:  newWay(t, startDaemon(t, behind), behind),
		protocol: protocol,
	}
}

// newWay has an HTTP client that leaves no connection behind.
func newWay(t *testing.T, base string, u *upstream) way {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(u.certificate())
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return way{base: base, upstream: u, http: &http.Client{Transport: transport}}
}

// startDaemon runs the program in front of an API and returns its base URL. The
// end of the test is a stop as by systemd, which must be clean.
func startDaemon(t *testing.T, u *upstream) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "op") // short enough for a socket in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // the daemon alone has it then: if it dies, clients see it
	passed, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer passed.Close()
	// Only a process itself can say its id before it begins, see sd_listen_fds(3).
	daemon := exec.Command("sh", "-c", `LISTEN_PID=$$ exec oauth-proxyd "$@"`, "sh",
		"serve", "--config", configure(t, dir, u), "--log-format", "json")
	daemon.Env = []string{"PATH=" + os.Getenv("PATH"), "RUNTIME_DIRECTORY=" + dir, "LISTEN_FDS=1", "LISTEN_FDNAMES=proxy"}
	daemon.ExtraFiles = []*os.File{passed}
	run(t, daemon)
	return "http://" + listener.Addr().String()
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

// run starts the daemon, and stops it at the end of the test.
func run(t *testing.T, daemon *exec.Cmd) {
	t.Helper()
	var log bytes.Buffer
	daemon.Stderr = &log
	daemon.WaitDelay = patience
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		late := time.AfterFunc(patience, func() { _ = daemon.Process.Kill() })
		defer late.Stop()
		_ = daemon.Process.Signal(syscall.SIGTERM) // it may have ended, which Wait tells
		if err := daemon.Wait(); err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
		if strings.Contains(log.String(), apiKey) || strings.Contains(log.String(), oauthToken) {
			t.Error("a credential is in the log")
		}
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", log.String())
		}
	})
}
