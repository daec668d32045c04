package access

import (
	"net"
	"net/netip"
	"time"

	"oauth-proxyd/internal/config"
)

// Conn is a connection as access sees it: its two ends, and for a while what was proved about it.
// It has one request at a time, so that nothing guards it.
type Conn struct {
	// Local and Remote are the addresses of TCP as [Plain] makes them; invalid for a Unix socket.
	Local, Remote netip.AddrPort

	conn  net.Conn // nil in tests
	id    Identity
	until time.Time // when id no longer holds
}

// Of is what access keeps of a connection.
func Of(c net.Conn) Conn {
	local, ok := c.LocalAddr().(*net.TCPAddr)
	remote, isTCP := c.RemoteAddr().(*net.TCPAddr)
	if !ok || !isTCP {
		return Conn{conn: c}
	}
	return Conn{Local: Plain(local.AddrPort()), Remote: Plain(remote.AddrPort()), conn: c}
}

// Addr is the client's address; the zero Addr for a Unix socket.
func (c *Conn) Addr() netip.Addr { return c.Remote.Addr() }

// identityLife is how long it holds for a connection where it comes from, found or not.
const identityLife = time.Minute

// proxiedLife is longer than any connection lasts.
const proxiedLife = 365 * 24 * time.Hour

// identity proves where the connection comes from with ask unless that was proved lately. An error
// is not kept.
func (c *Conn) identity(ask func() (Identity, error)) (Identity, error) {
	if time.Now().Before(c.until) {
		return c.id, nil
	}
	id, err := ask()
	if err != nil {
		return Identity{}, err
	}
	c.id, c.until = id, time.Now().Add(identityLife)
	if id.Source == config.Proxied { // also when the forward that it came through is gone
		c.until = time.Now().Add(proxiedLife)
	}
	return id, nil
}
