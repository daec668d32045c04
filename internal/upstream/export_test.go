package upstream

import (
	"context"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"oauth-proxyd/internal/kernel"
)

// InUse is how many slots are taken.
func InUse(p *Pool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, c := range p.conns {
		n += c.inUse
	}
	return n
}

// ResetTime is how long the slot of a cancelled request stays taken.
const ResetTime = resetTime

// PingPeer pings the peer of c.
func PingPeer(ctx context.Context, c *Conn) (alive bool) { return c.pingPeer(ctx) }

// Unsent returns how many bytes the kernel of the peer of c has not acknowledged.
func Unsent(c *Conn) int { return kernel.Unsent(c.wire.tcp) }

// Age makes it longer ago that the peer of c was heard.
func Age(c *Conn, d time.Duration) { c.wire.lastRead.Add(-int64(d)) }

// NewResolver makes the resolver of a dialer, with connections to name servers that dial makes.
func NewResolver(
	connectTimeout time.Duration, dial func(ctx context.Context, network, server string) (net.Conn, error),
) *net.Resolver {
	return newResolver(connectTimeout, dial)
}

// SocketOption is that of the socket of c.
func SocketOption(c *Conn, level, option int) (value int, err error) {
	raw, err := c.wire.tcp.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := raw.Control(func(fd uintptr) {
		value, err = unix.GetsockoptInt(int(fd), level, option)
	}); e != nil {
		return 0, e
	}
	return value, err
}

// MaxStreams is how many requests a connection carries at most.
const MaxStreams = maxStreams
