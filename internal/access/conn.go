package access

import (
	"context"
	"iter"
	"net"
	"net/netip"
	"time"

	"oauth-proxyd/internal/config"
)

// Conn is a connection as access sees it: its two ends, and for a while the identity that was
// proved for it. It carries one request at a time, so it needs no lock.
type Conn struct {
	// Local and Remote are the TCP addresses in the form of [Plain]; invalid for a Unix socket.
	Local, Remote netip.AddrPort

	conn  net.Conn // nil in tests
	id    Identity
	until time.Time // when id must be proved again
}

// NewConn returns the Conn of an accepted connection.
func NewConn(c net.Conn) Conn {
	local, _ := c.LocalAddr().(*net.TCPAddr)
	remote, _ := c.RemoteAddr().(*net.TCPAddr) // nil has the invalid AddrPort
	return Conn{Local: Plain(local.AddrPort()), Remote: Plain(remote.AddrPort()), conn: c}
}

// Addr returns the client's address, or the zero Addr for a Unix socket.
func (c *Conn) Addr() netip.Addr { return c.Remote.Addr() }

const (
	whoIsTimeout = 2 * time.Second
	identityLife = time.Minute          // how long a proved identity is kept
	proxiedLife  = 365 * 24 * time.Hour // longer than any connection lasts
)

// prove renews the identity of a connection if it is too old. An error is not kept.
func (a *Control) prove(ctx context.Context, c *Conn) error {
	if time.Now().Before(c.until) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, whoIsTimeout)
	defer cancel()
	// The proof needs a deep stack, which the connection's goroutine would keep while it streams.
	// So it runs on another one, from which a panic still comes back.
	next, stop := iter.Pull2(func(yield func(Identity, error) bool) { yield(a.classify(ctx, c)) })
	defer stop()
	id, err, _ := next()
	if err != nil {
		return err
	}
	c.id, c.until = id, time.Now().Add(identityLife)
	if id.Source == config.Proxied { // it stays so after the forward was removed
		c.until = time.Now().Add(proxiedLife)
	}
	return nil
}
