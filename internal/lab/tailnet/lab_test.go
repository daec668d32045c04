package tailnet_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/lab/tailnet"
)

// patience bounds the wait for what must happen.
const patience = 60 * time.Second

func TestANodeComesIntoEachState(t *testing.T) {
	t.Parallel()
	lab := tailnet.Start(t, tailnet.LoginRequired, tailnet.ApprovalRequired)
	lab.Node(tailnet.Spec{Name: "other"}) // a node alone would not get past Starting
	n := lab.Node(tailnet.Spec{Name: "node", NotRunning: true})
	n.Run()
	n.Await("NeedsLogin")
	n.Login()
	n.Down()
	n.Up()
	n.Unapprove()
	n.Approve()
	n.Await("Running")
	n.SetKeyExpiry(time.Now().Add(-time.Hour))
	n.Await("NeedsLogin")
	n.SetKeyExpiry(time.Now().Add(time.Hour))
	n.Await("Running")
	n.SetKeyExpiry(time.Now().Add(-time.Hour))
	n.Login()
	if expiry := n.Status().Self.KeyExpiry; expiry != nil {
		t.Errorf("a new key expires at %v", expiry)
	}
	n.Isolate()
	n.Restart()
	n.Await("Starting")
	n.Rejoin()
	n.Await("Running")
	lab.LoseControl()
	n.Restart()
	n.Await("NoState")
	lab.RestoreControl()
	n.Await("Running")
	n.Kill()
	n.Run()
	n.Await("Running")
	n.Logout()
	n.Login()
}

func TestANodeWarns(t *testing.T) {
	t.Parallel()
	n := tailnet.Start(t).Node(tailnet.Spec{Name: "node"})
	n.Warn("the moon is full")
	awaitHealth(t, n, true)
	n.Warn()
	awaitHealth(t, n, false)
}

func awaitHealth(t *testing.T, n *tailnet.Node, want bool) {
	t.Helper()
	eventually(t, "the warning", func() bool {
		return strings.Contains(strings.Join(n.Status().Health, "\n"), "the moon is full") == want
	})
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(patience)
	for !is() {
		select {
		case <-ticker.C:
		case <-late:
			t.Fatalf("still not: %s", what)
		}
	}
}

func TestNodesReachEachOtherByName(t *testing.T) {
	t.Parallel()
	lab := tailnet.Start(t)
	for _, mode := range []struct {
		name string
		tun  bool
	}{{"userspace", false}, {"tun", true}} {
		if err := tailnet.Namespaces(); mode.tun && err != nil {
			fmt.Fprintf(os.Stderr, "!!! nodes with a TUN device are NOT TESTED: %v\n", err)
			continue
		}
		server := lab.Node(tailnet.Spec{Name: mode.name + "-server", TUN: mode.tun})
		client := lab.Node(tailnet.Spec{Name: mode.name + "-client", TUN: mode.tun})
		port := serveHello(t, server)
		url := "http://" + net.JoinHostPort(server.DNSName(), port)
		if got := fetch(t, client, url); got != "hello" {
			t.Errorf("%s: got %q", mode.name, got)
		}
	}
}

func TestARuleThatForbidsIsASilence(t *testing.T) {
	t.Parallel()
	lab := tailnet.Start(t)
	server := lab.Node(tailnet.Spec{Name: "server"})
	friend := lab.Node(tailnet.Spec{Name: "friend"})
	stranger := lab.Node(tailnet.Spec{Name: "stranger"})
	url := "http://" + net.JoinHostPort(server.DNSName(), serveHello(t, server))
	lab.Grant(tailnet.Grant{From: []*tailnet.Node{friend}, To: []*tailnet.Node{server}})
	if got := fetch(t, friend, url); got != "hello" {
		t.Errorf("the friend got %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := stranger.Client().Do(req); err == nil {
		res.Body.Close()
		t.Errorf("the stranger got %s", res.Status)
	}
}

// serveHello serves on all that reaches the node, and returns the port.
func serveHello(t *testing.T, n *tailnet.Node) (port string) {
	t.Helper()
	listener, err := n.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-ended })
	_, port, err = net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func fetch(t *testing.T, n *tailnet.Node, url string) string {
	t.Helper()
	res, err := n.Client().Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPeersFollowARoute(t *testing.T) {
	t.Parallel()
	if err := tailnet.Namespaces(); err != nil {
		fmt.Fprintf(os.Stderr, "!!! routes are NOT TESTED: %v\n", err)
		return
	}
	lab := tailnet.Start(t)
	router := lab.Node(tailnet.Spec{Name: "router", OwnHost: true})
	peer := lab.Node(tailnet.Spec{Name: "peer", OwnHost: true})
	const address = "192.0.2.1" // which no network leads to
	if out, err := router.Command("ip", "address", "add", address+"/32", "dev", "eth0").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	port := serveHello(t, router)
	router.Route(netip.MustParsePrefix(address + "/32"))
	peer.Tailscale("set", "--accept-routes")
	client := peer.Client()
	client.Timeout = time.Second
	eventually(t, "the route", func() bool {
		res, err := client.Get("http://" + net.JoinHostPort(address, port))
		if err == nil {
			res.Body.Close()
		}
		return err == nil
	})
}

func TestASharedNodeKeepsItsName(t *testing.T) {
	t.Parallel()
	lab := tailnet.Start(t)
	node := lab.Node(tailnet.Spec{Name: "node"})
	const name = "node.tail-other.ts.net"
	guest := lab.Node(tailnet.Spec{Name: "guest", SharedAs: name})
	if guest.DNSName() != name {
		t.Errorf("the guest's name is %s", guest.DNSName())
	}
	eventually(t, "a peer of that name", func() bool {
		for _, p := range node.Status().Peer {
			if p.DNSName == name+"." {
				return true
			}
		}
		return false
	})
}

func TestAClientIsOfTheUserThatIsAskedFor(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "!!! clients of other users are NOT TESTED: not root")
		return
	}
	node := tailnet.Start(t).Node(tailnet.Spec{Name: "node"})
	port := serveHello(t, node)
	const uid = 1234
	res, err := node.ClientAs(uid).Get("http://127.0.0.1:" + port)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	sockets, err := os.ReadFile("/proc/thread-self/net/tcp") // another thread may be elsewhere
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	to := fmt.Sprintf("0100007F:%04X 01", n) // 127.0.0.1 at the port, established
	for line := range strings.Lines(string(sockets)) {
		if fields := strings.Fields(line); strings.Contains(line, to) && fields[7] == strconv.Itoa(uid) {
			return
		}
	}
	t.Errorf("no connection to %s of user %d:\n%s", to, uid, sockets)
}
