package tailnet_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"oauth-proxyd/internal/tailnet"
)

func TestProcess(t *testing.T) {
	d := startDaemon(t)
	got, err := client(d.socket).Process(t.Context())
	if want := (tailnet.Process{PID: os.Getpid(), UIDs: []uint32{uint32(os.Getuid())}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Process = %+v, %v; want %+v", got, err, want)
	}
}

// A hung tailscaled is one that runs.
func TestProcessOfHungDaemon(t *testing.T) {
	l, err := net.Listen("unix", socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got, err := client(l.Addr().String()).Process(t.Context()); err != nil || got.PID != os.Getpid() {
		t.Errorf("Process = %+v, %v", got, err)
	}
}

// A tailscaled closes its socket first and may deliver peers until its process ends.
func TestProcessOutlivesSocket(t *testing.T) {
	l, err := net.Listen("unix", socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := client(l.Addr().String())
	before, err := c.Process(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if got, err := c.Process(t.Context()); err != nil || !reflect.DeepEqual(got, before) {
		t.Errorf("Process = %+v, %v; want %+v", got, err, before)
	}
}

// If the configured path is wrong, a tailscaled is found on another socket with Tailscale's name.
// (A tailscaled of this machine would be found, too.)
func TestProcessOnOtherSocket(t *testing.T) {
	other := filepath.Join(filepath.Dir(socketPath(t)), "tailscaled.sock")
	l, err := net.Listen("unix", other)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, path := range []string{filepath.Join(t.TempDir(), "none.sock"), filepath.Join(t.TempDir(), "none", "none.sock")} {
		got, err := client(path).Process(t.Context())
		if err != nil || got.PID != 0 || len(got.UIDs) == 0 {
			t.Errorf("Process = %+v, %v; want the users of other sockets", got, err)
		}
	}
}

func TestProcessUnknown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := client(filepath.Join(path, "below-a-file.sock")).Process(t.Context())
	if err == nil || errors.Is(err, tailnet.ErrNoDaemon) {
		t.Errorf("error %v; want one that does not say that nobody is there", err)
	}
}

const whoIsJSON = `{"Node":{"Name":"ai.tail.ts.net.","StableID":"nAI","Tags":["tag:aperture"]},"UserProfile":{"LoginName":"tagged-devices"}}`

func TestWhoIsByCommand(t *testing.T) {
	commands(t, map[string]string{"tailscale": `case "$*" in
		*"whois --json --proto=tcp 100.64.0.9:1") echo '` + whoIsJSON + `' ;;
		*"whois --json --proto=tcp 100.64.0.8:1") echo "peer not found" >&2; exit 1 ;;
		*) echo "failed to connect" >&2; exit 1 ;;
	esac`})
	c := client(socketPath(t))
	peer, found, err := c.WhoIs(t.Context(), netip.MustParseAddrPort("100.64.0.9:1"))
	if err != nil || !found || peer.Node != "ai.tail.ts.net" || peer.NodeID != "nAI" {
		t.Errorf("WhoIs = %+v, %v", peer, err)
	}
	if _, found, err := c.WhoIs(t.Context(), netip.MustParseAddrPort("100.64.0.8:1")); found || err != nil {
		t.Errorf("an unknown peer: %v, %v", found, err)
	}
	if _, _, err := c.WhoIs(t.Context(), netip.MustParseAddrPort("100.64.0.7:1")); err == nil {
		t.Error("a command that fails: no error")
	}
}

// A command that gives the status and cannot say who a peer is leaves nobody to be served.
func TestCommandWithoutWhoIs(t *testing.T) {
	commands(t, map[string]string{"tailscale": `case "$*" in *whois*) exit 2 ;; *) echo '` + statusJSON("Running", "") + `' ;; esac`})
	_, err := client(socketPath(t)).Connect(t.Context())
	fails(t, err, final, "no such file")
}

func TestForwardsTo(t *testing.T) {
	tests := []struct {
		name, serves string
		want         bool
		funnel       bool
	}{
		{"nothing", `null`, false, false},
		{"to us", `{"TCP":{"80":{"TCPForward":"127.0.0.1:8080"}}}`, true, false},
		{"to us, by name", `{"TCP":{"80":{"TCPForward":"localhost:8080"}}}`, true, false},
		{"to us, over TLS", `{"TCP":{"443":{"TCPForward":"127.0.0.1:8080","TerminateTLS":"a.ts.net"}}}`, true, false},
		{"to us, as a service", `{"Services":{"svc:a":{"TCP":{"80":{"TCPForward":"127.0.0.1:8080"}}}}}`, true, false},
		{"to us, in the foreground", `{"Foreground":{"s":{"TCP":{"80":{"TCPForward":"127.0.0.1:8080"}}}}}`, true, false},
		{"to us, by Funnel", `{"TCP":{"443":{"TCPForward":"127.0.0.1:8080"}},"AllowFunnel":{"a.ts.net:443":true}}`, true, true},
		{"to another port", `{"TCP":{"80":{"TCPForward":"127.0.0.1:8081"}}}`, false, false},
		{"to another host", `{"TCP":{"80":{"TCPForward":"192.0.2.1:8080"}}}`, false, false},
		{"as a website, which adds headers", `{"TCP":{"80":{"HTTP":true}},"Web":{"a:80":{"Handlers":{"/":{"Proxy":"http://127.0.0.1:8080"}}}}}`, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			commands(t, map[string]string{"tailscale": "echo '" + tt.serves + "'"})
			if got, funnel, err := client(socketPath(t)).ForwardsTo(t.Context(), 8080); err != nil || got != tt.want || funnel != tt.funnel {
				t.Errorf("ForwardsTo = %t, %t, %v; want %t, %t", got, funnel, err, tt.want, tt.funnel)
			}
		})
	}
	commands(t, map[string]string{"tailscale": "exit 1"})
	if _, _, err := client(socketPath(t)).ForwardsTo(t.Context(), 8080); err == nil {
		t.Error("no error where nobody can say")
	}
}

func TestShortName(t *testing.T) {
	s := tailnet.Status{Suffix: "tail.ts.net"}
	for name, want := range map[string]string{"ai.tail.ts.net": "ai", "ai.other.ts.net": "", "ai.mytail.ts.net": "", "ai": ""} {
		if got := s.ShortName(name); got != want {
			t.Errorf("ShortName(%q) = %q, want %q", name, got, want)
		}
	}
	if got := (tailnet.Status{}).ShortName("ai."); got != "" {
		t.Errorf("without a suffix: %q", got)
	}
}
