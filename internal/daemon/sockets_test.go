package daemon

import (
	"net"
	"net/url"
	"strings"
	"testing"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/systemd"
)

// listening opens a socket on loopback with that name.
func listening(t *testing.T, name string) systemd.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return systemd.Listener{Name: name, Listener: l}
}

// inherited returns passed sockets, and the unit of one that is missing.
func inherited(missing string, listeners ...systemd.Listener) sockets {
	return sockets{systemd.Inheritance{Listeners: listeners, MissingUnit: missing}}
}

func TestMissingSocketIsReported(t *testing.T) {
	own, other := listening(t, ownListener), listening(t, "other")
	for _, row := range []struct {
		name      string
		sockets   sockets
		onlyLocal bool
		trouble   string
	}{
		{"nothing is missing", inherited("", own), false, ""},
		{"no unit", sockets{}, false, ""},
		{"no socket", inherited("x.socket"), true, "so only 127.0.0.1:8080 (proxy.listen_addr) is served"},
		{"another's socket", inherited("x.socket", other), false, `no socket named "proxy": x.socket is missing`},
	} {
		t.Run(row.name, func(t *testing.T) {
			trouble := row.sockets.trouble("127.0.0.1:8080")
			if row.sockets.onlyLocal() != row.onlyLocal || !strings.Contains(trouble, row.trouble) || (row.trouble == "") != (trouble == "") {
				t.Errorf("only local: %v, trouble %q", !row.onlyLocal, trouble)
			}
		})
	}
}

func TestListenOnlyWithoutSockets(t *testing.T) {
	s := inherited("", listening(t, "a"))
	if got, err := s.listen("127.0.0.1:0"); err != nil || len(got) != 1 || got[0] != s.Listeners[0] {
		t.Errorf("with a socket: %v, %v", got, err)
	}
	got, err := sockets{}.listen("127.0.0.1:0")
	if err != nil || len(got) != 1 || got[0].Name != ownListener {
		t.Fatalf("without: %v, %v", got, err)
	}
	defer got[0].Close() //nolint:errcheck // a test's
	if _, err := (sockets{}).listen(got[0].Addr().String()); err == nil {
		t.Error("an address in use is served")
	}
}

func TestUpstreamIsOwnSocket(t *testing.T) {
	own := listening(t, "a")
	to := func(address string) config.Proxy {
		return config.Proxy{UpstreamURL: &url.URL{Scheme: "http", Host: address}}
	}
	s := inherited("", own)
	if err := s.check(to(own.Addr().String())); err == nil {
		t.Error("the daemon's own socket is accepted")
	}
	if err := s.check(to("127.0.0.1:1")); err != nil {
		t.Error(err)
	}
}
