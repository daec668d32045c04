package host_test

import (
	"strings"
	"testing"
)

// wantWithoutSocket: everything that tells how the daemon is says that its socket is missing.
func (l *lab) wantWithoutSocket() {
	l.t.Helper()
	const said = "started this service without oauth-proxyd.socket, so only 127.0.0.1:8080 (proxy.listen_addr) is served"
	if code, health := l.get("http://" + proxyAddr + "/health"); code != 503 || !strings.Contains(health, said) {
		l.t.Errorf("/health is %d %s", code, health)
	}
	out := l.run("oauth-proxyd", "status")
	if !strings.HasPrefix(flat(out.Stdout), "degraded: systemd "+said) || out.Code != 1 {
		l.t.Errorf("status: exit %d\n%s", out.Code, out.Stdout)
	}
	l.wantAll(flat(l.run("oauth-proxyd", "doctor").Stdout), "FAIL daemon systemd "+said)
	l.wantAll(l.property(service, "StatusText"), said, reopen)
	if r := l.awaitLog(said); r.Priority() != 3 {
		l.t.Errorf("it is logged with priority %d", r.Priority())
	}
}

func TestAServiceWhoseSocketIsMaskedSaysSo(t *testing.T) {
	t.Parallel()
	l := boot(t)
	t.Cleanup(l.showJournal)
	l.must("systemctl", "mask", socketUnit)
	l.installDeb(deb(t, oldVersion))
	l.must("systemctl", "start", service)
	l.wantWithoutSocket()
	l.wantSent("") // this host is served
	l.installDeb(deb(t, newVersion))
	l.awaitLog("upgraded: 1.2.0 → 1.3.0")
	l.wantWithoutSocket() // an upgrade does not change that
	l.must("systemctl", "unmask", socketUnit)
	l.must("sh", "-c", reopen)
	l.wantListening()
}

// At boot another program had one of the addresses of the socket.
func TestAServiceWhoseSocketFailedSaysSo(t *testing.T) {
	t.Parallel()
	l := boot(t)
	t.Cleanup(l.showJournal)
	l.addresses("192.0.2.7/32")
	other, err := l.Listen("tcp", "192.0.2.7:8080")
	if err != nil {
		t.Fatal(err)
	}
	l.installDeb(deb(t, oldVersion))
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "failed"})
	l.must("systemctl", "start", service)
	l.wantWithoutSocket()
	l.wantAll(strings.Join(strings.Fields(l.run("oauth-proxyd", "doctor").Stdout), " "),
		"FAIL systemd oauth-proxyd.socket failed (resources), and oauth-proxyd.service runs without it")
	other.Close()
	l.must("sh", "-c", reopen)
	l.wantListening()
}

// What makes systemd close the sockets of a unit that stays active. The running service keeps them
// until it restarts.
func TestActiveSocketUnitThatDoesNotListen(t *testing.T) {
	t.Parallel()
	const (
		masked = "warn systemd oauth-proxyd.socket is masked: once oauth-proxyd.service stops, nothing listens"
		closed = "FAIL systemd oauth-proxyd.socket is active, but systemd does not listen on "
	)
	for name, row := range map[string]struct{ lose, before, after string }{
		"masked":        {maskSocket, masked, masked},
		"masked before": {loseSocket, "ok systemd", "FAIL daemon systemd started this service without"},
		"another port":  {changePort, closed + "[::]:9000", closed + "[::]:9000"},
		"one port more": {addPort, closed, closed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := install(t)
			l.configure("\ntailscale {\n  required = false\n}\n")
			l.openStream().body.Close()
			l.must("sh", "-c", row.lose)
			l.wantAll(flat(l.run("oauth-proxyd", "doctor").Stdout), row.before)
			l.must("systemctl", "restart", service)
			if row.lose != addPort { // the other stays open
				l.wantWithoutSocket()
			}
			l.wantAll(flat(l.run("oauth-proxyd", "doctor").Stdout), row.after, reopen)
			l.must("systemctl", "unmask", socketUnit)
			l.must("sh", "-c", reopen)
			l.wantListening()
		})
	}
}

func TestIdleSocketUnitThatDoesNotListen(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.must("sh", "-c", loseSocket)
	const said = "oauth-proxyd.socket is active, but systemd does not listen on [::]:8080"
	l.wantAll(flat(l.run("oauth-proxyd", "status").Stderr), said, "no client can connect", reopen)
	l.wantAll(flat(l.run("oauth-proxyd", "doctor").Stdout), "FAIL systemd "+said, reopen)
	l.must("sh", "-c", reopen)
	l.wantListening()
}

// flat is a text in one line.
func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

// An administrator who wants this says so.
func TestAServiceWithoutASocketOnPurpose(t *testing.T) {
	t.Parallel()
	l := boot(t)
	t.Cleanup(l.showJournal)
	l.must("systemctl", "mask", socketUnit)
	l.installDeb(deb(t, oldVersion))
	l.write("/etc/systemd/system/oauth-proxyd.service.d/own.conf", "[Service]\nEnvironment=OAUTH_PROXYD_SOCKET_UNIT=\n")
	l.configure("\ntailscale {\n  required = false\n}\n")
	l.must("systemctl", "daemon-reload")
	l.must("systemctl", "start", service)
	l.wantAll(l.health(), `"trouble": ""`, `"status": "healthy"`)
}
