package main_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// byHand starts a daemon as a person does at a terminal, without systemd.
func byHand(t *testing.T, more ...string) *service {
	t.Helper()
	s := newService(t, unit{
		config: forwarding("http://127.0.0.1:9", "", append(more, withoutTailnet)...), env: []string{"NOTIFY_SOCKET=", "SYSTEMD_EXEC_PID="},
	})
	s.run()
	s.log.Next(t, `"msg":"serving"`)
	return s
}

// A daemon that systemd does not run has neither a unit to restart nor a journal.
func TestAdviceForADaemonStartedByHand(t *testing.T) {
	t.Parallel()
	s := byHand(t, "access {\n  allow = [\"192.0.2.1\"]\n}\n")
	for range 3 {
		get(t, s.url()+"/v1/models").Want(t, http.StatusForbidden)
	}
	restart := fmt.Sprintf("kill %d, then oauth-proxyd serve --config %s --log-format json", s.process.PID, s.file())
	s.configure(forwarding("http://127.0.0.1:9", `listen_addr = ":8181"`, withoutTailnet))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"reload", "--dry-run"}, "(needs a restart: " + restart + ")"},
		{[]string{"upgrade"}, "hint: the running process is still in charge\n"},
		{[]string{"explain", "req_nobody"}, "hint: older ones are in the log\n"},
		{[]string{"status"}, "to know them, see the lines of the log with status 403\n"},
		{[]string{"status", "--json"}, `"restart_with": "` + restart + `"`},
		{[]string{"doctor", "--config", s.file()}, "-> oauth-proxyd reload --dry-run"},
	} {
		_, out, errs := s.command(c.args...)
		if !strings.Contains(out+errs, c.want) || strings.Contains(out+errs, "journalctl -u oauth-proxyd") || strings.Contains(out+errs, "systemctl") {
			t.Errorf("%v: want %q in\n%s%s", c.args, c.want, out, errs)
		}
	}
}

func TestAdviceForAService(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet, "access {\n  allow = [\"192.0.2.1\"]\n}\n")})
	for range 3 {
		get(t, s.url()+"/v1/models").Want(t, http.StatusForbidden)
	}
	s.configure(forwarding("http://127.0.0.1:9", `listen_addr = ":8181"`, withoutTailnet))
	if _, out, errs := s.command("reload", "--dry-run"); !strings.Contains(out, "(needs a restart: systemctl restart oauth-proxyd)") {
		t.Errorf("%s%s", out, errs)
	}
	s.wantStatus(0, "healthy", "to know them, see `journalctl -u oauth-proxyd -g 403`") // its log has JSON, and no fields
	s.wantUpgrade()
	if _, out, _ := s.command("status", "--json"); !daemontest.ContainsAll(out, []string{`"service": "oauth-proxyd.service"`, `"log": "journalctl -u oauth-proxyd"`}) {
		t.Errorf("after an upgrade: %s", out)
	}
}

// The daemon runs, and only the file of its socket is gone: doctor has the command that restores
// it.
func TestLostSocketIsRestored(t *testing.T) {
	t.Parallel()
	s := byHand(t)
	socket := filepath.Join(s.dir, "admin.sock")
	_, port, _ := net.SplitHostPort(s.unit.sockets[0].Addr())
	s.configure(forwarding("http://127.0.0.1:9", `listen_addr = "127.0.0.1:`+port+`"`, withoutTailnet))
	for _, replaced := range []bool{false, true} {
		if err := os.Remove(socket); err != nil {
			t.Fatal(err)
		}
		if replaced {
			if err := os.WriteFile(socket, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d, _ := s.doctor()
		d.want(t, "daemon", "fail", "the daemon responds on its port, but nothing listens on the admin socket "+socket,
			"kill -HUP PID   # a reload, which cuts no stream; as root, ss -ltnp 'sport = :"+port+"' shows the PID")
		s.signal(syscall.SIGHUP)
		s.log.Next(t, "configuration reloaded")
		s.wantStatus(0, "healthy")
	}
}

func TestSocketOfAnotherProgram(t *testing.T) {
	t.Parallel()
	s := byHand(t)
	other := filepath.Join(s.dir, "other.sock")
	l, err := net.Listen("unix", other)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	for path, want := range map[string][]string{
		s.file(): {"oauth-proxyd is not running, or its admin socket is not " + s.file(), "name the admin socket of a running one with --socket"},
		other:    {"the program on " + other + " did not respond as oauth-proxyd does: no header"},
	} {
		code, out, errs := s.command("status", "--socket", path)
		if code != 69 || out != "" || !daemontest.ContainsAll(errs, want) {
			t.Errorf("%s: %d %s%s", path, code, out, errs)
		}
	}
}
