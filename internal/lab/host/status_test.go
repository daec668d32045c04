package host_test

import (
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// What status knows of a daemon that does not run, and of how it ended, it has from systemd.
func TestStatusAsksSystemd(t *testing.T) {
	t.Parallel()
	l := install(t)
	status := func(code int, words ...string) {
		t.Helper()
		out := l.run("oauth-proxyd", "status")
		if out.Code != code {
			t.Errorf("exit %d, want %d", out.Code, code)
		}
		l.wantAll(flat(out.Stdout+out.Stderr), words...)
	}
	l.configure("\ntailscale {\n  required = false\n}\n")
	status(0, "idle: oauth-proxyd.socket listens on [::]:8080; the first request starts it")
	other := l.run("setpriv", "--reuid=nobody", "--clear-groups", "env", "XDG_RUNTIME_DIR=/tmp", "oauth-proxyd", "status")
	l.wantAll(other.Stdout, "idle: ") // of a user who could have a daemon of their own
	l.openStream().body.Close()
	status(0, "healthy: ", "on /run/oauth-proxyd/admin.sock")
	for _, kill := range []struct{ signal, said string }{
		{"KILL", "killed (signal KILL)"}, {"ABRT", "it crashed and wrote its goroutine stacks to the log, exit 2"},
	} {
		before := l.property(service, "MainPID")
		l.must("kill", "-"+kill.signal, before)
		daemontest.Eventually(t, "systemd starts it again", func() bool {
			pid := l.property(service, "MainPID")
			return pid != before && pid != "0" && l.property(service, "ActiveState") == "active"
		})
		status(0, "healthy: ", "restarted the previous process ended: "+kill.said)
	}
	l.must("systemctl", "restart", service)
	if out := l.run("oauth-proxyd", "status"); out.Code != 0 || strings.Contains(out.Stdout, "restarted") {
		t.Errorf("after a restart that was asked for: %s", out.Stdout)
	}
	l.write(configFile, "nonsense\n")
	l.run("systemctl", "restart", service)
	status(69, "error: oauth-proxyd is not running: stopped: the configuration was refused, exit 78", "hint: oauth-proxyd check")
}

// In the sandbox, too, the journal says who changed what.
func TestJournalSaysWhoReloads(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.openStream().body.Close()
	l.configure("\ntailscale {\n  required = false\n}\n")
	l.must("env", "SUDO_USER=alice", "oauth-proxyd", "reload")
	l.must("systemctl", "reload", service)
	user := strings.TrimSpace(l.must("id", "--user", "oauth-proxyd"))
	journal := l.must("journalctl", "--no-pager", "--output=cat", "--unit="+service)
	l.wantAll(journal, `setting changed setting=tailscale.required before=true now=false asked_by="uid 0, process `, ", which says: alice by ",
		`configuration reloaded changes=0 asked_by="uid `+user+", process ")
	l.wantAll(l.must("journalctl", "--no-pager", "--output=cat", "SETTING=tailscale.required"), "setting changed")
}
