package tailnet

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/ipn/ipnstate"
)

// Spec is what a node is to be.
type Spec struct {
	// Name is its host name, and the first part of its MagicDNS name. It must be the only one of
	// that name in the lab.
	Name string

	// TUN gives it namespaces of its own and a TUN device. Otherwise its tailscaled runs in
	// userspace mode, on this host's loopback.
	TUN bool

	// OwnHost gives a node in userspace mode namespaces of its own, too, and so addresses beside
	// loopback.
	OwnHost bool

	// Tags are what the node is, instead of a user's ("tag:…").
	Tags []string

	// User is the login name of its owner. Empty means one made up.
	User string

	// SharedAs is its full MagicDNS name if it belongs to another tailnet and is shared with this
	// one. Empty means that it belongs to this one.
	SharedAs string

	// LoggedOut leaves it without a login; Login or Up ends that.
	LoggedOut bool

	// NotRunning leaves it without a tailscaled; Run ends that.
	NotRunning bool
}

// Node is a host with a real tailscaled. Its methods end the test where something fails.
type Node struct {
	t     T
	lab   *Lab
	spec  Spec
	site  *site
	host  *host // nil: this one
	dir   string
	local *local.Client

	daemon *exec.Cmd
	ended  chan struct{}
	leash  io.Closer // tailscaled ends with it, also when this process is killed
}

// Node makes a node and waits until it is Running, unless the spec wants less. It ends with the
// test.
func (l *Lab) Node(spec Spec) *Node {
	l.t.Helper()
	n := &Node{t: l.t, lab: l, spec: spec, site: l.site(spec.ownHost()), dir: l.path(spec.Name)}
	if err := os.Mkdir(n.dir, 0o755); err != nil {
		l.t.Fatalf("a node of that name? %v", err)
	}
	if spec.ownHost() {
		var err error
		if n.host, err = n.site.newHost(); err != nil {
			l.t.Fatalf("%v", err)
		}
		l.t.Cleanup(n.host.end)
	}
	n.local = &local.Client{Socket: n.Socket(), UseSocketOnly: true, OmitAuth: true, Transport: n.transport()}
	l.control.change(func() {
		l.control.nodes[spec.Name] = &controlled{derp: n.site.derp, user: spec.User, sharedAs: spec.SharedAs}
	})
	l.t.Cleanup(n.end)
	if spec.NotRunning {
		return n
	}
	n.Run()
	if !spec.LoggedOut {
		n.Login()
	}
	return n
}

// Name is its host name.
func (n *Node) Name() string { return n.spec.Name }

// DNSName is its MagicDNS name, without the final dot.
func (n *Node) DNSName() string { return cmp.Or(n.spec.SharedAs, DNSName(n.spec.Name)) }

// Socket is the path of its tailscaled's Unix socket.
func (n *Node) Socket() string { return filepath.Join(n.dir, "tailscaled.sock") }

// Addr is the IPv4 address that it has on the tailnet. It changes with a login after a logout.
func (n *Node) Addr() netip.Addr {
	n.t.Helper()
	return n.address(netip.Addr.Is4)
}

// Addr6 is likewise its IPv6 address.
func (n *Node) Addr6() netip.Addr {
	n.t.Helper()
	return n.address(netip.Addr.Is6)
}

func (n *Node) address(is func(netip.Addr) bool) netip.Addr {
	n.t.Helper()
	all := n.Status().TailscaleIPs
	if i := slices.IndexFunc(all, is); i >= 0 {
		return all[i]
	}
	n.t.Fatalf("%s has no such address: %v", n.spec.Name, all)
	return netip.Addr{}
}

// Run starts tailscaled and waits until it responds.
func (n *Node) Run() {
	n.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		n.t.Fatalf("%v", err)
	}
	defer read.Close()
	n.daemon = n.host.command(n.lab.binaries.tailscaled, n.daemonArgs()...)
	n.daemon.Env, n.daemon.ExtraFiles = n.daemonEnvironment(), []*os.File{read}
	log, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatalf("%v", err)
	}
	defer log.Close()
	n.daemon.Stderr = log
	if err := n.daemon.Start(); err != nil {
		n.t.Fatalf("starting tailscaled: %v", err)
	}
	n.leash, n.ended = write, make(chan struct{})
	go func(daemon *exec.Cmd, ended chan struct{}) {
		_ = daemon.Wait() // how it ended is the business of who ended it
		close(ended)
	}(n.daemon, n.ended)
	n.await("a response of tailscaled", func(*ipnstate.Status) bool { return true })
}

func (n *Node) logFile() string { return filepath.Join(n.dir, "log") }

func (n *Node) daemonArgs() []string {
	args := []string{
		"--socket=" + n.Socket(), "--statedir=" + n.dir, "--port=0", "--no-logs-no-support",
		"--socks5-server=127.0.0.1:0",
	}
	if !n.spec.TUN {
		args = append(args, "--tun=userspace-networking")
	}
	return args
}

// daemonEnvironment keeps it from the internet, and on a leash. Without the cache of network maps,
// a node that control does not hear stays in NoState.
func (n *Node) daemonEnvironment() []string {
	const nowhere = "http://127.0.0.1:9"
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + n.dir,
		"HTTP_PROXY=" + nowhere, "HTTPS_PROXY=" + nowhere, "NO_PROXY=127.0.0.1," + n.site.address,
		"TS_NETCHECK_GENERATE_204_URL=" + n.site.url + "/generate_204",
		"TS_ASSUME_NETWORK_UP_FOR_TEST=1", "TS_PANIC_IF_HIT_MAIN_CONTROL=1", "TS_DISABLE_PORTMAPPER=1",
		"TS_USE_CACHED_NETMAP=false", "TS_PARENT_DEATH_FD=3",
	}
}

// signal sends one to tailscaled.
func (n *Node) signal(s os.Signal) {
	n.t.Helper()
	if err := n.daemon.Process.Signal(s); err != nil {
		n.t.Fatalf("signal %v to tailscaled of %s: %v", s, n.spec.Name, err)
	}
}

func (n *Node) awaitEnd() {
	n.t.Helper()
	select {
	case <-n.ended:
	case <-time.After(patience):
		n.t.Fatalf("tailscaled of %s does not end", n.spec.Name)
	}
	n.leash.Close()
}

// end leaves no process behind, and shows the end of the log of a failed test.
func (n *Node) end() {
	if n.daemon == nil {
		return
	}
	_ = n.daemon.Process.Kill() // it may have ended
	<-n.ended
	n.leash.Close()
	if n.t.Failed() {
		n.t.Logf("the end of the log of tailscaled on %s:\n%s", n.spec.Name, n.lastLines(40))
	}
}

func (n *Node) lastLines(most int) string {
	text, err := os.ReadFile(n.logFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// Status is what its tailscaled says of it.
func (n *Node) Status() *ipnstate.Status {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	status, err := n.local.Status(ctx)
	if err != nil {
		n.t.Fatalf("asking tailscaled of %s: %v", n.spec.Name, err)
	}
	return status
}

// Await waits until tailscaled itself says that it is in that backend state.
func (n *Node) Await(state string) {
	n.t.Helper()
	n.await("state "+state, func(s *ipnstate.Status) bool { return s.BackendState == state })
}

// await asks tailscaled again and again, at short intervals, so that a test may take the time of
// its return for the time of the change.
func (n *Node) await(what string, is func(*ipnstate.Status) bool) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	last := "nothing"
	for {
		status, err := n.local.StatusWithoutPeers(ctx)
		if err == nil && is(status) {
			return
		}
		if err == nil {
			last = fmt.Sprintf("state %s, health %q", status.BackendState, status.Health)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			n.t.Fatalf("still no %s on %s: %s\n%s", what, n.spec.Name, last, n.lastLines(20))
		}
	}
}

// HasTUN reports whether the node has a TUN device.
func (n *Node) HasTUN() bool { return n.spec.TUN }

// HasOwnHost reports whether the node is on a host of its own, not on this one.
func (n *Node) HasOwnHost() bool { return n.host != nil }

func (s Spec) ownHost() bool { return s.TUN || s.OwnHost }
