package host_test

import (
	"testing"

	"oauth-proxyd/internal/daemontest"
)

func TestRefusedConfigurationIsShownWithItsFix(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.openStream().body.Close()
	shipped := l.read(configFile)
	l.write(configFile, "nonsense\n")
	if out := l.run("systemctl", "restart", service); out.Code == 0 {
		t.Error("systemctl restart did not fail")
	}
	status := l.run("systemctl", "status", service)
	l.wantAll(status.Stdout, "status=78/CONFIG", "oauth-proxyd check", configFile+":1:")
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "active"})

	// A client that comes now waits, and is served once the file is fixed.
	served := make(chan error, 1)
	go func() { served <- l.send(listModels()) }()
	daemontest.Eventually(l.t, "it tries for the client who waits", func() bool {
		return l.property(service, "ActiveState") == "activating"
	})
	l.write(configFile, shipped)
	if err := <-served; err != nil {
		t.Error(err)
	}
	l.wantProperties(service, map[string]string{"ActiveState": "active"})
}

func TestANeededLoginIsShownWithItsFix(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.startTailscaled("NeedsLogin", "1.98.1")
	l.configure("\ntailscale {\n  when_down = \"exit\"\n}\n")
	if out := l.run("systemctl", "start", service); out.Code == 0 {
		t.Error("systemctl start did not fail")
	}
	status := l.run("systemctl", "status", service)
	l.wantAll(status.Stdout, "status=77/NOPERM", "tailscale login")
	l.wantProperties(service, map[string]string{"ActiveState": "failed", "NRestarts": "0"})
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "active"})
}
