package main_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

const perListener = `
header "anthropic-beta" {
  value = "from-second"
  mode  = "merge"
  when {
    listener = "second"
  }
}
`

func TestNamedSocketsAreListeners(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{
		config:  forwarding(u.URL, "", withoutTailnet, perListener),
		sockets: []*daemontest.Socket{daemontest.Listen(t, "second"), daemontest.Listen(t, "proxy")}, // systemd keeps no order
	})
	get(t, s.unit.sockets[0].URL()+"/echo").Want(t, 200, `beta="from-second"`)
	get(t, s.unit.sockets[1].URL()+"/echo").Want(t, 200, `beta=""`)
}

func TestNamelessSocketIsProxy(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	rule := strings.ReplaceAll(perListener, "second", "proxy")
	s := start(t, unit{
		config:  forwarding(u.URL, "", withoutTailnet, rule),
		sockets: []*daemontest.Socket{daemontest.Listen(t, "")},
	})
	get(t, s.url()+"/echo").Want(t, 200, `beta="from-proxy"`)
}

func TestTwoNamelessSocketsAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t, unit{
		config:  forwarding("http://127.0.0.1:9", "", withoutTailnet),
		sockets: []*daemontest.Socket{daemontest.Listen(t, ""), daemontest.Listen(t, "")},
	})
	s.run()
	s.wantExit(1)
	s.log.Next(t, "FileDescriptorName=")
}

func TestListenAddressWithoutSockets(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{
		config:  forwarding(u.URL, `listen_addr = "127.0.0.1:1"`, withoutTailnet),
		args:    []string{"--listen", "127.0.0.1:0"}, // the command line is stronger
		sockets: []*daemontest.Socket{},
	})
	get(t, "http://"+s.loggedAddress()+"/echo").Want(t, 200, "GET /echo")
}

// loggedAddress returns the address in the log.
func (s *service) loggedAddress() string {
	s.t.Helper()
	_, rest, _ := strings.Cut(s.log.Next(s.t, `"msg":"serving"`), `"address":"`)
	address, _, _ := strings.Cut(rest, `"`)
	return address
}

func TestStartFailsOnTakenAddress(t *testing.T) {
	t.Parallel()
	taken := daemontest.Listen(t, "taken")
	s := newService(t, unit{
		config:  forwarding("http://127.0.0.1:9", "", withoutTailnet),
		args:    []string{"--listen", taken.Addr()},
		sockets: []*daemontest.Socket{},
	})
	s.run()
	s.wantExit(1)
	s.log.Next(t, "proxy.listen_addr cannot be used", taken.Addr(), "address already in use")
	if n := s.notes.Count("READY=1"); n > 0 {
		t.Error("READY=1 without a listener")
	}
}

func TestUnixSocketIsServed(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	path := filepath.Join(daemontest.TempDir(t), "http.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, unit{
		config:  forwarding(u.URL, "", withoutTailnet),
		sockets: []*daemontest.Socket{daemontest.Hold(t, "proxy", l)},
	})
	c := newClient(t)
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	a, err := daemontest.Ask(c, "GET", "http://unix/echo", "")
	if err != nil {
		t.Fatal(err)
	}
	a.Want(t, 200, "GET /echo")
	s.stop()
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the socket unit's file is gone with the process: %v", err)
	}
}

// systemd-socket-activate listens and starts the program for the first client.
func TestRequestThatStartsTheService(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := newService(t, unit{config: forwarding(u.URL, "", withoutTailnet, strings.ReplaceAll(perListener, "second", "proxy"))})
	path := filepath.Join(s.dir, "activated.sock")
	cmd := exec.Command("systemd-socket-activate", "--fdname=proxy", "--listen="+path,
		"-E", "RUNTIME_DIRECTORY="+s.dir, "-E", "NOTIFY_SOCKET="+filepath.Join(s.dir, "notify"), "-E", "PATH="+os.Getenv("PATH"),
		"oauth-proxyd", "serve", "--config", s.file(), "--log-format", "json")
	cmd.Stdout, cmd.Stderr = s.stdout, s.log
	s.process = daemontest.Start(t, cmd)
	s.log.Next(t, "Listening on")
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 200 {
		t.Errorf("the first request got %s", response.Status)
	}
	s.notes.Next(t, "READY=1")
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
