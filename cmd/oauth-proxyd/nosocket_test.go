package main_test

import (
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// withSocketUnit is the variable that the shipped service unit sets.
const withSocketUnit = "OAUTH_PROXYD_SOCKET_UNIT=oauth-proxyd.socket"

func TestServiceWithoutItsSocket(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := newService(t, unit{
		config:  forwarding(u.URL, `listen_addr = "127.0.0.1:0"`, withoutTailnet),
		env:     []string{withSocketUnit},
		sockets: []*daemontest.Socket{},
	})
	s.run()
	const trouble = "started this service without oauth-proxyd.socket, so only 127.0.0.1:0 (proxy.listen_addr) is served"
	if ready := s.notes.Next(t, "READY=1"); !strings.Contains(ready, trouble) {
		t.Errorf("systemd received %q", ready)
	}
	s.log.Next(t, `"level":"ERROR"`, trouble, "systemctl status oauth-proxyd.socket")
	url := "http://" + s.loggedAddress()
	get(t, url+"/echo").Want(t, 200, "GET /echo") // this host is served
	get(t, url+"/health").Want(t, 503, `"status": "degraded"`, `"trouble": "systemd `+trouble)
	s.wantStatus(1, "degraded: systemd started this service without oauth-proxyd.socket,", "`systemctl stop oauth-proxyd.service oauth-proxyd.socket && systemctl")
	if _, out, _ := s.command("doctor", "--config", s.file()); !strings.Contains(strings.Join(strings.Fields(out), " "), "FAIL daemon systemd started this service without") {
		t.Errorf("doctor says:\n%s", out)
	}
}

func TestServiceWithSecondSocketOnly(t *testing.T) {
	t.Parallel()
	s := start(t, unit{
		config:  forwarding("http://127.0.0.1:9", "", withoutTailnet),
		env:     []string{withSocketUnit},
		sockets: []*daemontest.Socket{daemontest.Listen(t, "batch")},
	})
	s.wantStatus(0, "healthy: serving, with 1 warning\n", `no socket named "proxy"`, "systemctl status oauth-proxyd.socket")
	get(t, s.url()+"/health").Want(t, 200, `"trouble": "systemd passed no socket named`)
}

func TestServiceWithItsSocket(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet), env: []string{withSocketUnit}})
	s.wantStatus(0, "healthy: serving, tailnet not required\n")
	get(t, s.url()+"/health").Want(t, 200, `"trouble": ""`)
}
