package tailnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/net/proxy"
)

// magicDNS is where tailscaled serves DNS on each node with a TUN device.
const magicDNS = "100.100.100.100:53"

// Command is a process on the node's host that finds its tailscaled: without a TUN device that is
// this host with another TAILSCALE_SOCKET. The environment beyond that is this process's.
func (n *Node) Command(name string, args ...string) *exec.Cmd {
	c := n.host.command(name, args...)
	c.Env = append(os.Environ(), "TAILSCALE_SOCKET="+n.Socket())
	return c
}

// Tailscale runs the tailscale command against the node's tailscaled and returns what it prints.
func (n *Node) Tailscale(args ...string) (output string) {
	n.t.Helper()
	out, err := n.tailscaleCommand(args...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("tailscale %s on %s: %v\n%s", strings.Join(args, " "), n.spec.Name, err, out)
	}
	return string(out)
}

func (n *Node) tailscaleCommand(args ...string) *exec.Cmd {
	return n.Command(n.lab.binaries.tailscale, append([]string{"--socket=" + n.Socket()}, args...)...)
}

// CommandPath is the folder with the tailscale command in it, for a PATH.
func (l *Lab) CommandPath() string {
	return filepath.Dir(l.binaries.tailscale)
}

// Within calls f in the network of the node's host. Sockets that f makes stay there; goroutines
// that it starts are elsewhere.
func (n *Node) Within(f func() error) error { return n.host.within(f) }

// Listen listens on the node's host.
func (n *Node) Listen(network, address string) (listener net.Listener, err error) {
	err = n.Within(func() error {
		listener, err = net.Listen(network, address)
		return err
	})
	return listener, err
}

// Client is an HTTP client on the node: its requests come from there. It keeps its connections
// alive until the end of the test.
func (n *Node) Client() *http.Client {
	transport := &http.Transport{DialContext: n.Dial, DisableCompression: true}
	n.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// ClientAs is an HTTP client on the node's host whose sockets belong to that user. It does not go
// through tailscaled and reaches the addresses of the host and its network. Only root can be
// another user.
func (n *Node) ClientAs(uid int) *http.Client {
	dial := func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = n.host.withinAs(uid, func() error {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
	transport := &http.Transport{DialContext: dial, DisableCompression: true}
	n.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// Dial connects from the node to a host on the tailnet, by name or address, or on the node itself
// by address.
func (n *Node) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); n.spec.TUN || ip != nil && ip.IsLoopback() {
		return n.dialFromHost(ctx, network, host, port)
	}
	return n.dialThroughSOCKS(ctx, network, address)
}

func (n *Node) dialFromHost(ctx context.Context, network, host, port string) (net.Conn, error) {
	addresses, err := n.Resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	return n.dialAddress(ctx, network, net.JoinHostPort(addresses[0], port))
}

func (n *Node) dialAddress(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = n.host.within(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// dialThroughSOCKS connects through a tailscaled in userspace mode, which resolves MagicDNS names
// on it.
func (n *Node) dialThroughSOCKS(ctx context.Context, network, address string) (net.Conn, error) {
	socks, err := n.socksAddress()
	if err != nil {
		return nil, err
	}
	dialer, err := proxy.SOCKS5("tcp", socks, nil, hostDialer{n})
	if err != nil {
		return nil, err
	}
	return dialer.(proxy.ContextDialer).DialContext(ctx, network, address)
}

// hostDialer dials addresses from the node's host.
type hostDialer struct{ node *Node }

// Dial is proxy.Dialer's.
func (d hostDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext is proxy.ContextDialer's.
func (d hostDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.node.dialAddress(ctx, network, address)
}

// socksAddress is in the log of tailscaled, which chooses the port.
func (n *Node) socksAddress() (string, error) {
	log, err := os.ReadFile(n.logFile())
	if err != nil {
		return "", err
	}
	const before = "SOCKS5 listening on "
	at := strings.LastIndex(string(log), before)
	if at < 0 {
		return "", errors.New("tailscaled has no SOCKS5 server")
	}
	address, _, _ := strings.Cut(string(log)[at+len(before):], "\n")
	return address, nil
}

// Resolve asks the node's own resolver for the addresses of a name, IPv4 first. In userspace mode a
// node has none.
func (n *Node) Resolve(ctx context.Context, name string) ([]string, error) {
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return n.dialAddress(ctx, network, magicDNS)
	}}
	found, err := resolver.LookupIP(ctx, "ip", name)
	if err != nil {
		return nil, fmt.Errorf("on %s: %w", n.spec.Name, err)
	}
	var v4, v6 []string
	for _, ip := range found {
		if ip.To4() != nil {
			v4 = append(v4, ip.String())
		} else {
			v6 = append(v6, ip.String())
		}
	}
	return append(v4, v6...), nil
}

// transport speaks to tailscaled's socket. It never starts a process, as the client library does at
// a failed dial.
func (n *Node) transport() *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", n.Socket())
			if err != nil {
				return nil, fmt.Errorf("tailscaled: %w", err)
			}
			return conn, nil
		},
	}
}

// Manual is what a person types to use the node.
func (n *Node) Manual() string {
	var text strings.Builder
	address := n.Addr()
	fmt.Fprintf(&text, "\n%s  %s  %v", n.spec.Name, n.DNSName(), address)
	if len(n.spec.Tags) > 0 {
		fmt.Fprintf(&text, "  %s", strings.Join(n.spec.Tags, " "))
	}
	fmt.Fprintf(&text, "\n  export TAILSCALE_SOCKET=%s\n", n.Socket())
	if n.host != nil {
		fmt.Fprintf(&text, "  nsenter --target=%d --net --mount --wd=. bash\n", n.host.holder.Process.Pid)
	} else if socks, err := n.socksAddress(); err == nil {
		fmt.Fprintf(&text, "  curl --proxy socks5h://%s http://…\n", socks)
	}
	fmt.Fprintf(&text, "  %s --socket=%s status\n", n.lab.binaries.tailscale, n.Socket())
	return text.String()
}
