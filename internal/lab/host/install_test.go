package host_test

import (
	"strings"
	"testing"
)

func TestInstallServesFromTheFirstRequestOn(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "active", "UnitFileState": "enabled"})
	l.wantProperties(service, map[string]string{"ActiveState": "inactive", "LoadState": "loaded"})
	if failed := l.must("systemctl", "list-units", "--failed", "--no-legend", "--plain"); failed != "" {
		t.Errorf("failed units after the installation: %s", failed)
	}

	s := l.openStream() // what the API has not sent yet does not hold back what it has
	if got, want := l.received("/v1/messages", "Anthropic-Beta"), "interleaved-thinking-2025-05-14"; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "oauth-2025-04-20") {
		t.Errorf("the API received the betas %q", got)
	}
	if r, _ := l.api.last("/v1/messages"); r.Proto != "HTTP/2.0" {
		t.Errorf("the API was asked with %s", r.Proto)
	}
	if id := s.header.Get("X-Request-Id"); id == "" {
		t.Errorf("no x-request-id in %v", s.header)
	}
	l.wantProperties(service, map[string]string{"ActiveState": "active", "User": "oauth-proxyd", "NRestarts": "0"})
	status, body := l.get("http://" + proxyAddr + "/health")
	if status != 503 || !strings.Contains(body, `"status": "degraded"`) {
		t.Errorf("without tailscaled /health is %d %s", status, body)
	}
	l.wantAll(l.property(service, "StatusText"), "Serving on", "tailnet not connected", "tailscaled")
}

func TestInstallWithThePortTaken(t *testing.T) {
	t.Parallel()
	l := boot(t)
	other, err := l.Listen("tcp", "0.0.0.0:8080")
	if err != nil {
		t.Fatal(err)
	}
	said := l.installDeb(deb(t, oldVersion))
	if state := l.must("dpkg-query", "--show", "--showformat=${db:Status-Status}", "oauth-proxyd"); state != "installed" {
		t.Errorf("the package is %q; dpkg said:\n%s", state, said)
	}
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "failed", "UnitFileState": "enabled"})
	l.wantAll(said, "8080", "systemctl start oauth-proxyd.socket")

	other.Close()
	l.must("systemctl", "start", socketUnit)
	l.openStream()
}

func TestDisabledStaysDisabled(t *testing.T) {
	t.Parallel()
	l := install(t)
	s := l.openStream()
	l.must("systemctl", "disable", "--now", socketUnit)
	// The service still runs, and its restart would start the socket.
	l.installDeb(deb(t, newVersion))
	l.awaitLog("upgraded: 1.2.0 → 1.3.0")
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "inactive", "UnitFileState": "disabled"})
	l.must("systemctl", "stop", service)
	s.wantCut()

	l.installDeb(deb(t, oldVersion))
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "inactive", "UnitFileState": "disabled"})
	l.wantProperties(service, map[string]string{"ActiveState": "inactive"})

	l.must("systemctl", "mask", socketUnit, service)
	l.must("dpkg", "--remove", "oauth-proxyd")
	l.installDeb(deb(t, newVersion))
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "inactive", "UnitFileState": "masked"})
}

func TestStoppedStaysStoppedOverAnUpgrade(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.openStream().body.Close()
	l.must("systemctl", "stop", socketUnit, service)
	l.installDeb(deb(t, newVersion))
	l.wantProperties(service, map[string]string{"ActiveState": "inactive"})
}
