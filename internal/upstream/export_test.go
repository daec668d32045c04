package upstream

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// InUse is how many slots are taken.
func InUse(p *Pool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for c := range p.conns {
		n += c.inUse
	}
	return n
}

// AskPeer pings the peer of c.
func AskPeer(ctx context.Context, c *Conn) (alive bool) { return c.askPeer(ctx) }

// Age makes it longer ago, by the wall clock, that the peer of c was heard, as the sleep of
// a machine does.
func Age(c *Conn, d time.Duration) { c.wire.heard.Add(-int64(d)) }

// SocketOption is that of the socket of c.
func SocketOption(c *Conn, level, option int) (value int, err error) {
	if e := c.wire.socket.raw.Control(func(fd uintptr) {
		value, err = unix.GetsockoptInt(int(fd), level, option)
	}); e != nil {
		return 0, e
	}
	return value, err
}
