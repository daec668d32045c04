package proof_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/tailnet"
)

// withCommand returns a PATH in which the first tailscale command is that script.
func withCommand(t *testing.T, script string) string {
	t.Helper()
	dir := daemontest.TempDir(t)
	if err := os.WriteFile(filepath.Join(dir, "tailscale"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return "PATH=" + dir + ":" + os.Getenv("PATH")
}

// otherSocket is a script that runs the real command with the node's socket in place of the one
// that it is given.
func otherSocket(lab *tailnet.Lab, n *tailnet.Node) string {
	return fmt.Sprintf(`for argument; do
	shift
	case "$argument" in
	--socket=*) ;;
	*) set -- "$@" "$argument" ;;
	esac
done
exec %s/tailscale --socket=%s "$@"`, lab.CommandPath(), n.Socket())
}

// withoutSocket is an environment in which only the command reaches tailscaled.
func withoutSocket(t *testing.T, script string) []string {
	t.Helper()
	return []string{withCommand(t, script), "TAILSCALE_SOCKET=" + filepath.Join(daemontest.TempDir(t), "none.sock")}
}

// TestCommandNamesPeersWithoutSocket has a command in PATH that reaches tailscaled.
// The daemon itself cannot.
func TestCommandNamesPeersWithoutSocket(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		c := newCast(t, tun)
		d := start(t, setting{
			node: c.host, upstream: newRecorder(t, c.host).url, env: withoutSocket(t, otherSocket(c.lab, c.host)),
			blocks: []string{list("local", "alice@example.com", "tag:aperture", "cap:"+capability)},
		})
		d.log.Next(t, "the tailnet is connected", "proxy."+tailnet.Domain)
		for name, who := range map[string]string{
			"alice-laptop": `"user":"alice@example.com"`, "bob-laptop": `"user":"bob@example.com"`, "aperture": `"tags":"tag:aperture"`,
		} {
			get(t, c.peers[name], d.url()+"/"+name).Want(t, http.StatusOK, "GET /"+name)
			d.log.Next(t, `"path":"/`+name+`"`, `"source":"tailnet"`, `"node":"`+name+"."+tailnet.Domain+`"`, who)
		}
		get(t, c.peers["builder"], d.url()+"/builder").Want(t, http.StatusForbidden, "access_denied")
		d.wantLocal("/own")
		if h := d.health(); h.Status != "healthy" {
			t.Errorf("health %+v", h)
		}
		c.host.Down()
		d.notes.Next(t, "STATUS=", "Stopped", "tailscale up")
		c.host.Up()
		d.notes.Next(t, "STATUS=", "tailnet connected")
	})
}

// TestACommandWithoutWhoisIsReported has a command that knows the state of tailscaled but not its
// peers. No peer can be served then, so the host is not healthy.
func TestACommandWithoutWhoisIsReported(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		lab, host := newHost(t, tun)
		peer := lab.Node(tailnet.Spec{Name: "peer", TUN: tun})
		w := newRecorder(t, host)
		script := `case "$*" in *whois*) echo "unknown subcommand: whois" >&2; exit 1 ;; esac` + "\n" + otherSocket(lab, host)
		d := start(t, setting{node: host, upstream: w.url, env: withoutSocket(t, script)})
		w.wantOutside(t, "/peer", get(t, peer, d.url()+"/peer"), "tailnet_unavailable")
		d.wantLocal("/own")
		daemontest.Eventually(t, "health says so", func() bool {
			h := d.health()
			return h.Status == "degraded" && h.code == http.StatusServiceUnavailable
		})
		code, text := d.askStatus()
		if text = flat(text); code != 1 || !strings.Contains(text, "none.sock") {
			t.Errorf("status exits with %d, and does not name the socket: %s", code, text)
		}
		if line := d.lastStatus(); !strings.Contains(line, "none.sock") {
			t.Errorf("STATUS=%s", line)
		}
	})
}

// TestNoPeerIsLocalWithAWrongSocket configures a socket that does not exist, while a tailscaled in
// userspace mode delivers peers from loopback.
func TestNoPeerIsLocalWithAWrongSocket(t *testing.T) {
	t.Parallel()
	if !canTUN(t) { // on this host, other tailscaleds run
		return
	}
	nowhere := filepath.Join(daemontest.TempDir(t), "nowhere.sock")
	for name, s := range map[string]setting{
		"environment":   {env: []string{"TAILSCALE_SOCKET=" + nowhere}},
		"configuration": {env: []string{"TAILSCALE_SOCKET="}, socket: nowhere},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lab := tailnet.Start(t)
			host := lab.Node(tailnet.Spec{Name: "proxy", OwnHost: true})
			peer := lab.Node(tailnet.Spec{Name: "peer"})
			w := newRecorder(t, host)
			s.node, s.upstream, s.blocks, s.nobody = host, w.url, []string{list("local")}, true
			s.env = append(s.env, withCommand(t, "exit 1"))
			d := start(t, s)
			w.wantOutside(t, "/stranger", get(t, peer, d.url()+"/stranger"))
			d.wantLocal("/own")
			if h := d.health(); h.Status != "degraded" || h.code != http.StatusServiceUnavailable {
				t.Errorf("health %+v", h)
			}
			if line := d.lastStatus(); !strings.Contains(line, nowhere) {
				t.Errorf("STATUS=%s does not name the socket", line)
			}
			if code, text := d.askStatus(); code != 1 || !strings.Contains(flat(text), nowhere) {
				t.Errorf("status exits with %d: %s", code, text)
			}
		})
	}
}
