package proof_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/tailnet"
)

// forwarder is a host with two daemons, and a peer that reaches them only through the ports that
// the host's tailscaled forwards.
type forwarder struct {
	t          *testing.T
	lab        *tailnet.Lab
	host, peer *tailnet.Node
	upstream   *recorder
	closed     *daemon // refuses what comes from a proxy
	open       *daemon // admits nothing else
}

func newForwarder(t *testing.T, tun bool) *forwarder {
	t.Helper()
	lab := tailnet.Start(t)
	b := &forwarder{
		t: t, lab: lab, host: lab.Node(tailnet.Spec{Name: "proxy", TUN: tun, OwnHost: true}),
		peer: lab.Node(tailnet.Spec{Name: "peer", User: "alice@example.com"}),
	}
	b.upstream = newRecorder(t, b.host)
	s := setting{node: b.host, upstream: b.upstream.url, nobody: true}
	s.blocks = []string{list("local", "tailnet", "alice@example.com")}
	b.closed = start(t, s)
	s.blocks = []string{list("proxied")}
	b.open = start(t, s)
	return b
}

// wantClosed sends a request through a forward to the closed daemon, which must refuse it and still
// serve the programs on its host.
func (b *forwarder) wantClosed(name string, port uint16, codes ...string) {
	b.t.Helper()
	b.upstream.wantOutside(b.t, "/"+name, reach(b.t, b.peer, b.url(port)+"/"+name), codes...)
	b.closed.wantLocal("/own-" + name)
}

// wantOpen sends a request through a forward to the open daemon, which must serve it.
func (b *forwarder) wantOpen(name string, port uint16) {
	b.t.Helper()
	a := reach(b.t, b.peer, b.url(port)+"/open-"+name)
	if a.Status != http.StatusOK {
		b.t.Errorf("%s: status %d although access.allow has proxied: %s", name, a.Status, a.Body)
		return
	}
	b.open.log.Next(b.t, `"path":"/open-`+name+`"`, `"source":"proxied"`)
}

func (b *forwarder) url(port uint16) string {
	return fmt.Sprintf("http://%s:%d", b.host.DNSName(), port)
}

// TestAPeerBehindATCPForwardIsNotLocal uses "tailscale serve --tcp": tailscaled connects to the
// daemon like any program on the host, and does not say for whom.
func TestAPeerBehindATCPForwardIsNotLocal(t *testing.T) {
	t.Parallel()
	if !canTUN(t) {
		return
	}
	inBothModes(t, func(t *testing.T, tun bool) {
		b := newForwarder(t, tun)
		for _, target := range []string{"127.0.0.1", "localhost"} {
			b.forward(1001, b.closed, target)
			b.forward(1002, b.open, target)
			b.wantClosed(target, 1001, "access_denied")
			b.wantOpen(target, 1002)
		}
		ethernet, _, _ := strings.Cut(strings.Fields(on(t, b.host, "ip", "-brief", "-4", "address", "show", "eth0"))[2], "/")
		b.forward(1001, b.closed, ethernet)
		b.wantClosed("ethernet", 1001)
		if tun {
			b.forward(1001, b.closed, b.host.Addr().String())
			b.wantClosed("tailnet", 1001)
		}
		b.host.Tailscale("serve", "reset")
		b.inForeground(1003, b.closed)
		b.wantClosed("foreground", 1003, "access_denied")
		b.inForeground(1004, b.open)
		b.wantOpen("foreground", 1004)
	})
}

// forward forwards a port of the tailnet to the daemon at that address of its host.
func (b *forwarder) forward(port uint16, to *daemon, address string) {
	b.t.Helper()
	b.host.Tailscale("serve", "--bg", fmt.Sprintf("--tcp=%d", port), "tcp://"+net.JoinHostPort(address, to.port()))
}

// inForeground is forward for as long as the command runs: until the end of the test.
func (b *forwarder) inForeground(port uint16, to *daemon) {
	b.t.Helper()
	command := filepath.Join(b.lab.CommandPath(), "tailscale")
	daemontest.Start(b.t, b.host.Command(command, "--socket="+b.host.Socket(), "serve", fmt.Sprintf("--tcp=%d", port), "tcp://127.0.0.1:"+to.port()))
}

// TestPeerBehindForwardToUnixSocketIsNotLocal has a socket that only programs on the host can
// connect to. tailscaled is one of them.
func TestPeerBehindForwardToUnixSocketIsNotLocal(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		lab, host := newHost(t, tun)
		peer := lab.Node(tailnet.Spec{Name: "peer"})
		w := newRecorder(t, host)
		path := filepath.Join(daemontest.TempDir(t), "proxy.sock")
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
		d := newDaemon(t, setting{
			node: host, upstream: w.url, blocks: []string{list("local")},
			also: []*daemontest.Socket{daemontest.Hold(t, "unix", listener)},
		})
		d.run()
		d.notes.Next(t, "READY=1")
		host.Tailscale("serve", "--bg", "--tcp=1001", "unix:"+path)
		w.wantOutside(t, "/forwarded", reach(t, peer, "http://"+host.DNSName()+":1001/forwarded"))
		out := on(t, host, "setpriv", fmt.Sprintf("--reuid=%d", ordinary()), "--clear-groups", "curl", "--silent", "--unix-socket", path, "http://localhost/own")
		if out != "GET /own" {
			t.Errorf("a program on this host got %s", out)
		}
	})
}

// TestTheOpenInternetIsNotLocal plays the relay of Tailscale Funnel, which connects for anybody on
// the internet.
func TestTheOpenInternetIsNotLocal(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		lab, host := newHost(t, tun)
		relay := lab.Node(tailnet.Spec{Name: "relay"})
		lab.Grant(tailnet.Grant{}, tailnet.Grant{From: []*tailnet.Node{relay}, To: []*tailnet.Node{host}, Capabilities: map[string]string{"https://tailscale.com/cap/ingress": ""}})
		w := newRecorder(t, host)
		d := start(t, setting{node: host, upstream: w.url, blocks: []string{list("local", "tailnet")}})
		host.Tailscale("funnel", "--bg", "--tcp=443", "tcp://127.0.0.1:"+d.port())
		w.wantOutside(t, "/funnel", throughFunnel(t, relay, host, "/funnel"), "access_denied")
		d.wantLocal("/own")
		marked := getHere(t, host, d.local()+"/marked", "Tailscale-Funnel-Request", "?1")
		w.wantOutside(t, "/marked", marked, "access_denied")
	})
}

// throughFunnel sends a request as the relay does: a first request asks the host's tailscaled to
// forward the rest of the connection.
func throughFunnel(t *testing.T, relay, host *tailnet.Node, path string) daemontest.Response {
	t.Helper()
	api := strings.TrimPrefix(host.Status().Self.PeerAPIURL[0], "http://")
	conn, err := relay.Dial(t.Context(), "tcp", api)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v0/ingress HTTP/1.1\r\nHost: %s\r\nTailscale-Ingress-Src: 203.0.113.7:40000\r\n"+
		"Tailscale-Ingress-Target: %s:443\r\nContent-Length: 0\r\n\r\n", api, host.DNSName())
	reader := bufio.NewReader(conn)
	switched, err := http.ReadResponse(reader, nil)
	if err != nil || switched.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("tailscaled does not forward: %+v, %v", switched, err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host.DNSName())
	res, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return daemontest.Response{Status: res.StatusCode, Header: res.Header, Body: string(text)}
}

// TestAProgramIsLocalBesideAForwardToTheUnit has a daemon that sees most users of its host as one,
// because the unit has PrivateUsers=.
func TestAProgramIsLocalBesideAForwardToTheUnit(t *testing.T) {
	t.Parallel()
	if !canTUN(t) { // it takes root as well
		return
	}
	lab, host := newHost(t, false)
	peer := lab.Node(tailnet.Spec{Name: "peer"})
	w := newRecorder(t, host)
	d := start(t, setting{node: host, upstream: w.url, private: true, blocks: []string{list("local")}})
	host.Tailscale("serve", "--bg", "--tcp=1001", "tcp://127.0.0.1:"+d.port())
	w.wantOutside(t, "/forwarded", reach(t, peer, "http://"+host.DNSName()+":1001/forwarded"), "access_denied")
	w.wantOutside(t, "/direct", get(t, peer, d.url()+"/direct"), "access_denied")
	d.wantLocal("/own")
}
