package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"oauth-proxyd/internal/config"
)

const (
	// serverTimeout is how long one name server may take to respond. Go's resolver and the C
	// library's wait 5 seconds.
	serverTimeout = time.Second
	// attemptDelay is how long an address is tried before the next one is tried in parallel (RFC
	// 8305 §5).
	attemptDelay = 250 * time.Millisecond
)

// dialFunc is [net.Dialer.DialContext].
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// NewResolver returns a resolver that asks the next name server when one is silent for a second, or
// for a sixth of connectTimeout if that is less. silent is called with the address of a silent
// server, once for each question; it may be nil.
func NewResolver(connectTimeout time.Duration, silent func(server string)) *net.Resolver {
	return newResolver(connectTimeout, silent, (&net.Dialer{}).DialContext)
}

func newResolver(connectTimeout time.Duration, silent func(string), dial dialFunc) *net.Resolver {
	const shares = 6
	limit := min(serverTimeout, connectTimeout/shares)
	if silent == nil {
		silent = func(string) {}
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, server string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		c, err := dial(ctx, network, server)
		if err != nil {
			return nil, err
		}
		question := impatientConn{Conn: c, limit: limit, silent: func() { silent(server) }}
		if packets, ok := c.(net.PacketConn); ok { // package net takes a PacketConn for UDP
			return impatientPacketConn{question, packets}, nil
		}
		return question, nil
	}}
}

// impatientConn is a connection to a name server that must respond within limit.
type impatientConn struct {
	net.Conn
	limit  time.Duration
	silent func()
}

// SetDeadline implements net.Conn.
func (c impatientConn) SetDeadline(t time.Time) error {
	if most := time.Now().Add(c.limit); t.After(most) {
		t = most
	}
	return c.Conn.SetDeadline(t)
}

// Read implements net.Conn.
func (c impatientConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.silent()
	}
	return n, err
}

type impatientPacketConn struct {
	impatientConn
	packets net.PacketConn
}

// ReadFrom implements net.PacketConn.
func (c impatientPacketConn) ReadFrom(p []byte) (int, net.Addr, error) { return c.packets.ReadFrom(p) }

// WriteTo implements net.PacketConn.
func (c impatientPacketConn) WriteTo(p []byte, a net.Addr) (int, error) {
	return c.packets.WriteTo(p, a)
}

// connect makes a TCP connection to host:port.
func (d *dialer) connect(ctx context.Context, address string) (net.Conn, error) {
	if d.Dial != nil {
		return d.Dial(ctx, address)
	}
	addrs, err := d.resolve(ctx, address)
	if err != nil {
		return nil, err
	}
	return d.race(ctx, addrs)
}

// resolve returns the addresses of host:port that may be dialled, in the order in which to try
// them. It takes at most half of the time, so that enough is left for TCP and TLS.
func (d *dialer) resolve(ctx context.Context, address string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.ConnectTimeout/2)
	defer cancel()
	port, err := d.Resolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	found, err := d.Resolver.LookupNetIP(ctx, "ip", host)
	d.observe(start, Step{Part: StepName, To: host, Err: err, Addresses: found})
	if err != nil {
		return nil, err
	}
	var addrs []netip.AddrPort
	for _, a := range found {
		if d.tls != nil || config.StaysPrivate(a) {
			addrs = append(addrs, netip.AddrPortFrom(a.Unmap(), uint16(port))) //nolint:gosec // a port
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%s resolves to %v: http:// is only for loopback and Tailscale addresses, because it sends credentials in clear", host, found)
	}
	return alternate(addrs), nil
}

// alternate mixes IPv4 and IPv6 addresses one by one, beginning with the family of the first, so
// that a dead family costs one attempt (RFC 8305 §4).
func alternate(addrs []netip.AddrPort) []netip.AddrPort {
	first, second := []netip.AddrPort{}, []netip.AddrPort{}
	for _, a := range addrs {
		if a.Addr().Is4() == addrs[0].Addr().Is4() {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	mixed := make([]netip.AddrPort, 0, len(addrs))
	for len(first) > 0 || len(second) > 0 {
		if len(first) > 0 {
			mixed, first = append(mixed, first[0]), first[1:]
		}
		if len(second) > 0 {
			mixed, second = append(mixed, second[0]), second[1:]
		}
	}
	return mixed
}

type attempt struct {
	conn net.Conn
	err  error
}

// race tries the addresses in order and returns the first connection. It tries the next one when an
// attempt fails, or after attemptDelay.
func (d *dialer) race(ctx context.Context, addrs []netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan attempt)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var failures []error
	for next, running := 0, 0; next < len(addrs) || running > 0; {
		select {
		case <-timer.C:
			if next < len(addrs) {
				go d.try(ctx, addrs[next], results)
				next, running = next+1, running+1
				timer.Reset(attemptDelay)
			}
		case r := <-results:
			if r.err == nil {
				return r.conn, nil
			}
			running--
			failures = append(failures, r.err)
			timer.Reset(0)
		case <-ctx.Done():
			return nil, errors.Join(append(failures, context.Cause(ctx))...)
		}
	}
	return nil, errors.Join(failures...)
}

// try connects to one address. If race has returned meanwhile, it closes the connection.
func (d *dialer) try(ctx context.Context, a netip.AddrPort, results chan<- attempt) {
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount,
	}}
	start := time.Now()
	c, err := dialer.DialContext(ctx, "tcp", a.String())
	d.observe(start, Step{Part: StepAddress, To: a.String(), Err: err})
	select {
	case results <- attempt{c, err}:
	case <-ctx.Done():
		if err == nil {
			_ = c.Close() // another one was faster, or nobody waits any more
		}
	}
}
