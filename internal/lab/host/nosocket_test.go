package host_test

import (
	"strings"
	"testing"
)

// wantWithoutSocket: everything that tells how the daemon is says that its socket is missing.
func (l *lab) wantWithoutSocket() {
	l.t.Helper()
	const said = "started this service without oauth-proxyd.socket, so only 127.0.0.1:8080 (proxy.listen_addr) is served"
	flat := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	if code, health := l.get("http://" + proxyAddr + "/health"); code != 503 || !strings.Contains(health, said) {
		l.t.Errorf("/health is %d %s", code, health)
	}
	out := l.run("oauth-proxyd", "status")
	if !strings.HasPrefix(flat(out.Stdout), "degraded: systemd "+said) || out.Code != 1 {
		l.t.Errorf("status: exit %d\n%s", out.Code, out.Stdout)
	}
	l.wantAll(flat(l.run("oauth-proxyd", "doctor").Stdout), "FAIL daemon systemd "+said)
	l.wantAll(l.property(service, "StatusText"), said)
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
	l.must("systemctl", "restart", service)
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "active"})
	l.wantAll(l.health(), `"trouble": ""`)
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
		"FAIL systemd oauth-proxyd.service runs without it: oauth-proxyd.socket failed (resources)")
	other.Close()
	l.must("systemctl", "restart", service)
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "active"})
	l.wantAll(l.health(), `"trouble": ""`)
}

// Whoever has it so on purpose says so.
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
