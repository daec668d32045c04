package gateway_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// startDaemon runs the program in front of an upstream, with the shipped configuration and more
// settings, and returns its base URL and its log. At the end of the test it must stop cleanly, and
// its log must not have a credential.
func startDaemon(t *testing.T, upstream, settings string) (string, *daemontest.Record) {
	t.Helper()
	dir := daemontest.TempDir(t)
	socket := daemontest.Listen(t, "proxy")
	cmd := exec.Command("oauth-proxyd", "serve", "--config", configure(t, dir, upstream, settings), "--log-format", "json")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "RUNTIME_DIRECTORY=" + dir}
	daemontest.Activate(cmd, socket)
	log, daemon := start(t, cmd)
	socket.Close() // only the daemon has it now: if it dies, clients see that
	log.Next(t, `"msg":"serving"`)
	t.Cleanup(func() {
		if code := daemon.Stop(t); code != 0 {
			t.Errorf("the daemon ended with %d", code)
		}
		if strings.Contains(log.Text(), daemontest.OAuthToken) {
			t.Error("a credential is in the log")
		}
	})
	return socket.URL(), log
}

// configure writes the shipped file with another upstream, and without a tailnet unless settings
// has one.
func configure(t *testing.T, dir, upstream, settings string) (file string) {
	t.Helper()
	shipped, err := os.ReadFile("../../../etc/oauth-proxyd.hcl")
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "oauth-proxyd.hcl")
	if !strings.Contains(settings, "access {") { // a gateway on this host that names its users is a proxy
		settings += "access {\n  allow = [\"local\", \"proxied\"]\n}\n"
	}
	if !strings.Contains(settings, "tailscale {") {
		settings += "tailscale {\n  required = false\n}\n"
	}
	write(t, file, fmt.Sprintf("%s\nproxy {\n  upstream_url = %q\n}\n%s", shipped, upstream, settings))
	return file
}
