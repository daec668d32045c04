package host_test

import "testing"

func TestASecondSocketHasItsOwnHeaders(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.openStream().body.Close()
	load := l.load()
	load.More(50)
	// As oauth-proxyd(8), EXAMPLES, tells an administrator to do it.
	l.write("/etc/systemd/system/oauth-proxyd-batch.socket", `[Socket]
ListenStream=8081
FileDescriptorName=batch
Service=oauth-proxyd.service
Backlog=4096
TriggerLimitIntervalSec=0

[Install]
WantedBy=sockets.target
`)
	l.write("/etc/systemd/system/oauth-proxyd.service.d/override.conf", "[Service]\nSockets=oauth-proxyd-batch.socket\n")
	l.configure(`
header "x-lab" {
  value = "batch"
  when {
    listener = "batch"
  }
}
header "x-lab" {
  value = "proxy"
  when {
    listener = "proxy"
  }
}
`)
	l.must("systemctl", "daemon-reload")
	l.must("systemctl", "enable", "oauth-proxyd-batch.socket")
	l.must("systemctl", "restart", service)

	for address, want := range map[string]string{"127.0.0.1:8081": "batch", proxyAddr: "proxy"} {
		if status, body := l.get("http://" + address + "/v1/nothing?from=" + want); status != 401 {
			t.Errorf("%s: %d %s", address, status, body)
		}
		if got := l.received("/v1/nothing?from="+want, "X-Lab"); got != want {
			t.Errorf("from %s the API received x-lab %q", address, got)
		}
	}
	l.wantProperties(service, map[string]string{"ActiveState": "active", "NRestarts": "0"})
	l.wantAll(l.property(service, "StatusText"), ":8080", ":8081")

	l.installDeb(deb(t, newVersion)) // takes both sockets over
	load.More(50)
	load.WantNoneLost()
	if status, _ := l.get("http://127.0.0.1:8081/v1/nothing?from=batch"); status != 401 {
		t.Errorf("the second socket after an upgrade: %d", status)
	}
}
