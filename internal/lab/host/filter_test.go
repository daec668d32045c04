package host_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/host"
)

// lanAccess admits a network that the shipped socket unit keeps out.
const lanAccess = "\naccess {\n  allow = [\"local\", \"tailnet\", \"192.0.2.0/24\"]\n}\n"

// reach connects from one of the host's addresses to the port, and says whether a response came. A
// packet that the kernel drops is never acknowledged; a second is patience with a connection that
// would take microseconds.
func (l *lab) reach(from string) bool {
	l.t.Helper()
	out := l.run("curl", "--silent", "--max-time", "1", "--interface", from, "--write-out", "%{http_code}", "--output", "/dev/null",
		"http://"+net.JoinHostPort(from, "8080")+"/health")
	return out.Stdout != "000"
}

// addresses gives the host some that others would have. What it sends to one of them comes from
// that address, as from a neighbour.
func (l *lab) addresses(all ...string) {
	l.t.Helper()
	for _, a := range all {
		l.must("ip", "address", "add", a, "dev", "lo")
	}
}

func TestTheKernelKeepsStrangersOut(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.addresses("100.64.0.7/32", "192.0.2.7/32", "fd7a:115c:a1e0::7/128", "2001:db8::7/128")
	l.configure(lanAccess)
	served := func(step string, want map[string]bool) {
		t.Helper()
		for from, is := range want {
			if got := l.reach(from); got != is {
				t.Errorf("%s: a connection from %s is served: %t, want %t", step, from, got, is)
			}
		}
	}
	strangers := map[string]bool{"192.0.2.7": false, "2001:db8::7": false}
	served("the shipped unit", map[string]bool{"127.0.0.1": true, "::1": true, "100.64.0.7": true, "fd7a:115c:a1e0::7": true})
	served("the shipped unit", strangers)
	l.wantSent("") // what the daemon sends is not filtered
	checked := l.run("oauth-proxyd", "check")
	const said = `access.allow: IPAddressDeny= of oauth-proxyd.socket drops packets from "192.0.2.0/24"`
	l.wantAll(checked.Stderr, "warning: "+said, "systemctl edit oauth-proxyd.socket", "IPAddressAllow=192.0.2.0/24")
	l.wantAll(strings.Join(strings.Fields(l.run("oauth-proxyd", "doctor").Stdout), " "), "warn ip filter "+said)
	if checked.Code != 0 {
		t.Errorf("check left with %d", checked.Code)
	}

	l.installDeb(deb(t, newVersion)) // the socket of the process that took over is the same
	served("after an upgrade", strangers)

	l.write("/etc/systemd/system/oauth-proxyd.socket.d/lan.conf", "[Socket]\nIPAddressAllow=192.0.2.0/24\n")
	l.must("systemctl", "daemon-reload") // as systemctl edit does
	served("with the drop-in", map[string]bool{"192.0.2.7": true, "2001:db8::7": false})
	if out := l.run("oauth-proxyd", "check"); out.Stderr != "" {
		t.Errorf("check with the drop-in says: %s", out.Stderr)
	}
}

// systemd does not say so; we do.
func TestAHostThatCannotFilterIsTold(t *testing.T) {
	t.Parallel()
	l := boot(t, host.WithoutBPF)
	l.installDeb(deb(t, oldVersion))
	l.addresses("192.0.2.7/32")
	if !l.reach("192.0.2.7") {
		t.Fatal("this host filters")
	}
	const said = "IPAddressDeny= of oauth-proxyd.socket is not active"
	l.wantAll(l.run("oauth-proxyd", "check").Stderr, "warning: "+said)
	l.wantAll(strings.Join(strings.Fields(l.run("oauth-proxyd", "doctor").Stdout), " "), "warn ip filter "+said)
}

// The example in the socket unit: the address comes when tailscaled does.
func TestASocketOnAnAddressThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	l := boot(t)
	const address = "100.101.102.103"
	l.write("/etc/systemd/system/oauth-proxyd.socket.d/address.conf",
		fmt.Sprintf("[Socket]\nListenStream=\nListenStream=%s:8080\nFreeBind=yes\n", address))
	l.installDeb(deb(t, oldVersion))
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "active", "FreeBind": "yes"})
	if l.reach("127.0.0.1") {
		t.Error("it listens on another address")
	}
	l.addresses(address + "/32")
	daemontest.Eventually(t, "it serves the address", func() bool { return l.reach(address) })
}

func TestBothFamiliesWhateverTheSysctlSays(t *testing.T) {
	t.Parallel()
	l := boot(t)
	l.must("sysctl", "--write", "net.ipv6.bindv6only=1")
	l.installDeb(deb(t, oldVersion))
	for _, from := range []string{"127.0.0.1", "::1"} {
		if !l.reach(from) {
			t.Errorf("%s is not served", from)
		}
	}
}

// The filter holds for connections that the service accepted already.
func TestAnOpenConnectionObeysTheFilter(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.addresses("192.0.2.7/32")
	l.configure(lanAccess)
	allow := "/etc/systemd/system/oauth-proxyd.socket.d/lan.conf"
	l.write(allow, "[Socket]\nIPAddressAllow=192.0.2.0/24\n")
	l.must("systemctl", "daemon-reload")
	c, err := l.DialContext(t.Context(), "tcp", "192.0.2.7:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func() error {
		if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		if _, err := fmt.Fprint(c, "GET /health HTTP/1.1\r\nHost: 192.0.2.7\r\n\r\n"); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 64<<10))
		return err
	}
	if err := ask(); err != nil {
		t.Fatalf("while it is allowed: %v", err)
	}
	l.must("rm", allow)
	l.must("systemctl", "daemon-reload")
	if err := ask(); err == nil {
		t.Error("an open connection is served although its address is denied")
	}
}
