package upstream

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"oauth-proxyd/internal/config"
)

const (
	// serverTimeout is how long one name server may take to respond. Go's resolver and the C
	// library's wait 5 seconds.
	serverTimeout = time.Second
	// A path is dead when the peer's kernel acknowledges nothing for userTimeout, or responds to no
	// keep-alive probe; these start after keepAliveIdle without a byte.
	userTimeout       = 25 * time.Second
	keepAliveIdle     = 10 * time.Second
	keepAliveInterval = 5 * time.Second
	keepAliveCount    = 3
)

// dialFunc is [net.Dialer.DialContext].
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// newResolver returns a resolver that asks the next name server when one is silent for a second, or
// for a sixth of connectTimeout if that is less. dial connects to name servers.
func newResolver(connectTimeout time.Duration, dial dialFunc) *net.Resolver {
	const shares = 6
	limit := min(serverTimeout, connectTimeout/shares)
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, server string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		c, err := dial(ctx, network, server)
		if udp, ok := c.(*net.UDPConn); ok {
			return &impatientConn{udp, limit}, nil
		}
		return c, err
	}}
}

// impatientConn is a connection to a name server that must respond within limit. It does for Go's
// resolver what "options timeout:1" in /etc/resolv.conf does for the whole host: the resolver sets
// a deadline 5 seconds from now, and the kernel gets a shorter one.
//
// TCP, which takes over where a response is too long for UDP, needs none: a server that accepts a
// connection is not silent.
type impatientConn struct {
	*net.UDPConn
	limit time.Duration
}

func (c *impatientConn) SetDeadline(t time.Time) error {
	if most := time.Now().Add(c.limit); t.After(most) {
		t = most
	}
	return c.UDPConn.SetDeadline(t)
}

func (d *dialer) dialTCP(ctx context.Context, address string) (net.Conn, error) {
	if d.Dial != nil {
		return d.Dial(ctx, address)
	}
	dialer := net.Dialer{
		Resolver: d.Resolver, Control: d.prepare,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount,
		},
	}
	if d.Trace != nil {
		ctx = httptrace.WithClientTrace(ctx, d.Trace)
	}
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return c, closeDeadPath(c.(*net.TCPConn))
}

// closeDeadPath has the kernel close c if its path is dead. The kernel would also end an attempt to
// connect after that time, so it is set after the attempt.
func closeDeadPath(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err // it was closed
	}
	return raw.Control(func(fd uintptr) { // without the option a dead path is noticed later
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
	})
}

// prepare refuses an address to which credentials may not be sent in clear. net.Dialer calls it
// before each attempt, because what a name resolves to may change.
func (d *dialer) prepare(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || d.tls == nil && !config.StaysPrivate(to.Addr()) {
		return errors.New("http:// is only for loopback and Tailscale addresses, because it sends credentials in clear")
	}
	return nil
}
