package access

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"oauth-proxyd/internal/config"
)

// identify finds the source of a request. Where a connection comes from is proved once for it and
// kept for a while; whether the tailnet is up is asked for each request.
func (a *Control) identify(ctx context.Context, h http.Header, c *Conn, personHeader string) (Identity, error) {
	id, err := c.identity(func() (Identity, error) {
		ctx, cancel := context.WithTimeout(ctx, whoIsTimeout)
		defer cancel()
		return a.classify(ctx, c)
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return Identity{Source: Other}, context.Cause(ctx) // nobody is left to be refused
	case err != nil:
		return Identity{Source: Other}, err
	case id.Source == config.Tailnet && !a.tailnet.Running():
		return id, unproven(nil, "the tailnet is not connected on this host")
	case id.Source == config.Local && SpeaksForAnother(h, personHeader):
		id.Source = config.Proxied
	}
	return id, nil
}

// unproven refuses a sender that cannot be identified now, and may try again.
func unproven(cause error, message string) *Refusal {
	return &Refusal{Message: message, Cause: cause, Unproven: true}
}

// classify proves where a connection comes from. Nobody is let in on a guess: what cannot be proved
// is an error.
func (a *Control) classify(ctx context.Context, c *Conn) (Identity, error) {
	local, remote := c.Local, c.Remote
	switch {
	case !remote.IsValid():
		return a.fromUnixSocket(ctx, c)
	case remote.Addr().IsLoopback():
		return a.fromLoopback(ctx, local, remote)
	case remote.Addr() == local.Addr() || IsOwnAddress(remote.Addr()):
		return a.fromOwnAddress(ctx, local, remote)
	case config.IsTailscale(remote.Addr()) && config.IsTailscale(local.Addr()) && a.tailnet.Required():
		return a.fromTailnet(ctx, local, remote)
	default:
		return Identity{Source: Other}, nil
	}
}

// fromUnixSocket: the kernel names the process at the other end of a Unix socket, which may be a
// tailscaled that forwards to it.
func (a *Control) fromUnixSocket(ctx context.Context, c *Conn) (Identity, error) {
	pid := peerProcess(c.conn)
	if !a.tailnet.Required() || pid == 0 {
		return Identity{Source: config.Local}, nil
	}
	if t, err := a.tailnet.Look(ctx); err == nil && t.PID == pid {
		return Identity{Source: config.Proxied}, nil
	}
	return Identity{Source: config.Local}, nil
}

// fromLoopback asks again while the client may wait, as a tailscaled that starts or is restarted
// gives no response for a moment.
func (a *Control) fromLoopback(ctx context.Context, local, remote netip.AddrPort) (Identity, error) {
	const pause = 100 * time.Millisecond
	if !a.tailnet.Required() {
		return Identity{Source: config.Local}, nil
	}
	for {
		id, err := a.proveLoopback(ctx, local, remote)
		if err == nil || a.isClosed(local, remote) {
			return id, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return id, err
		}
	}
}

// proveLoopback tells programs on this host from what tailscaled delivers from there: its peers
// where it has no network device, and what "tailscale serve" and Funnel forward.
func (a *Control) proveLoopback(ctx context.Context, local, remote netip.AddrPort) (Identity, error) {
	t, err := a.tailnet.Look(ctx)
	switch {
	case err != nil:
		return Identity{}, unproven(err, "it is not known whether this connection comes from the tailnet")
	case a.isProgram(t, local, remote):
		return Identity{Source: config.Local}, nil
	case t.Absent:
		return a.localWhileOpen(local, remote)
	case !t.Known:
		return Identity{}, unproven(nil, "tailscaled on this host has not said yet how it delivers connections")
	}
	if t.Userspace {
		if id, found, err := a.whoIs(ctx, remote); err != nil || found {
			return id, err
		}
	}
	forwarded, funnel, err := a.tailnet.ForwardsTo(ctx, local.Port())
	switch {
	case err != nil:
		return Identity{}, unproven(err, "it is not known whether tailscaled forwards this connection")
	case forwarded:
		return Identity{Source: config.Proxied, Funnel: funnel}, nil
	default:
		return a.localWhileOpen(local, remote)
	}
}

// localWhileOpen is local for a connection that a program on this host has still open. Once it is
// closed, a tailscaled that has ended may have been that program, and nobody knows any more.
func (a *Control) localWhileOpen(local, remote netip.AddrPort) (Identity, error) {
	if a.isClosed(local, remote) {
		return Identity{}, unproven(nil, "the program at the other end of this connection has closed it")
	}
	return Identity{Source: config.Local}, nil
}

// isClosed reports whether the kernel shows that nobody on this host has the other end open.
func (a *Control) isClosed(local, remote netip.AddrPort) bool {
	_, open, err := a.OwnerOf(local, remote)
	return err == nil && !open
}

// fromOwnAddress: subnet routes, 4via6 and exit nodes arrive from an address of this host as well,
// in connections that tailscaled makes.
func (a *Control) fromOwnAddress(ctx context.Context, local, remote netip.AddrPort) (Identity, error) {
	t, err := a.tailnet.Look(ctx)
	if err != nil {
		return Identity{}, unproven(err, "it is not known whether this connection comes from the tailnet")
	}
	uid, onThisHost, err := a.OwnerOf(local, remote)
	if onThisHost && (t.Absent || t.cannotBe(uid)) {
		return Identity{Source: config.Local}, nil
	}
	return Identity{}, unproven(err,
		"it cannot be proved that this connection comes from a program on this host; a program on it can connect to 127.0.0.1")
}

// isProgram reports whether the kernel shows that the other end of a connection belongs to a
// process of this host other than tailscaled. Where it does not show that, others may.
func (a *Control) isProgram(t Tailscaled, local, remote netip.AddrPort) bool {
	uid, onThisHost, err := a.OwnerOf(local, remote)
	return err == nil && onThisHost && t.cannotBe(uid)
}

// cannotBe reports whether tailscaled runs as another user than uid. In a user namespace, such as
// that of a service with PrivateUsers=, most users have the same number 65534: it is not
// tailscaled's unless tailscaled has that number there, too (user_namespaces(7)).
func (t Tailscaled) cannotBe(uid uint32) bool {
	return len(t.UIDs) > 0 && !slices.Contains(t.UIDs, uid)
}

// fromTailnet has tailscaled name a peer. Only what comes to one of this node's own addresses came
// through tailscaled: other networks use the same ranges.
func (a *Control) fromTailnet(ctx context.Context, local, remote netip.AddrPort) (Identity, error) {
	t, err := a.tailnet.Look(ctx)
	switch {
	case err != nil || t.Absent || !t.Known:
		return Identity{}, unproven(err, "the tailnet is not connected on this host")
	case !a.tailnet.Running():
		return Identity{}, unproven(nil, "the tailnet is not connected on this host")
	case !slices.Contains(t.Addresses, local.Addr()):
		return Identity{Source: Other}, nil
	}
	id, found, err := a.whoIs(ctx, remote)
	if err == nil && !found {
		id.Source = Other
	}
	return id, err
}

func (a *Control) whoIs(ctx context.Context, remote netip.AddrPort) (id Identity, found bool, err error) {
	id, found, err = a.tailnet.WhoIs(ctx, remote)
	if err != nil {
		return Identity{}, false, unproven(err, "tailscaled on this host could not say who sends this request")
	}
	if found {
		id.Source = config.Tailnet
	}
	return id, found, nil
}

// Plain is an address as access lists and tailscaled write it.
func Plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// peerProcess is the process id at the other end of a Unix socket (SO_PEERCRED, unix(7)); 0 where
// that is not known.
func peerProcess(conn net.Conn) int {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return 0
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) { // one that is closed has no process
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// IsOwnAddress reports whether addr is one of this host's.
func IsOwnAddress(addr netip.Addr) bool {
	own, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(own, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == addr
	})
}

// noTailnet is that of a proxy without one.
type noTailnet struct{}

func (noTailnet) Required() bool                           { return false }
func (noTailnet) Running() bool                            { return false }
func (noTailnet) Look(context.Context) (Tailscaled, error) { return Tailscaled{Absent: true}, nil }
func (noTailnet) ForwardsTo(context.Context, uint16) (bool, bool, error) {
	return false, false, nil
}

func (noTailnet) WhoIs(context.Context, netip.AddrPort) (Identity, bool, error) {
	return Identity{}, false, nil
}
