package access

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/kernel"
)

// identify finds the sender of a request. The source of its connection is proved once and kept for
// a while. The state of the tailnet is checked for each request.
func (a *Control) identify(ctx context.Context, h http.Header, c *Conn, personHeader string) (Identity, error) {
	if err := a.prove(ctx, c); err != nil {
		return Identity{Source: Other}, cmp.Or(context.Cause(ctx), err) // or the client is gone
	}
	id := c.id
	switch {
	case id.Source == config.Tailnet && !a.tailnet.Running():
		return id, unproven(nil, "the tailnet is not connected on this host")
	case id.Source == config.Local && IsForwarded(h, personHeader):
		id.Source = config.Proxied
	}
	return id, nil
}

// unproven returns the refusal of a sender that could not be identified and may retry.
func unproven(cause error, message string) *Refusal {
	return &Refusal{Message: message, Cause: cause, Unproven: true}
}

// classify proves the source of a connection, by the table in doc.go and in its order. It never
// guesses: without a proof it returns an error.
func (a *Control) classify(ctx context.Context, c *Conn) (Identity, error) {
	local, remote := c.Local, c.Remote
	switch {
	case !remote.IsValid():
		return a.fromUnixSocket(ctx, c)
	case remote.Addr().IsLoopback():
		return a.fromLoopback(ctx, local, remote)
	case remote.Addr() == local.Addr():
		return a.fromOwnAddress(ctx, local, remote)
	}
	switch own, err := kernel.IsOwn(remote.Addr()); {
	case err != nil:
		return Identity{}, unproven(err, "could not find out whether this connection comes from this host")
	case own:
		return a.fromOwnAddress(ctx, local, remote)
	case config.IsTailscale(remote.Addr()) && config.IsTailscale(local.Addr()) && a.tailnet.Required():
		return a.fromTailnet(ctx, local, remote)
	default:
		return Identity{Source: Other}, nil
	}
}

// fromUnixSocket asks the kernel for the process at the other end of a Unix socket. It may be a
// tailscaled that forwards to the socket.
func (a *Control) fromUnixSocket(ctx context.Context, c *Conn) (Identity, error) {
	peer, err := kernel.PeerCredentials(c.conn)
	if a.tailnet.Required() && err == nil && peer.Pid != 0 { // 0: in another PID namespace
		if t, err := a.tailnet.Look(ctx); err == nil && t.PID == int(peer.Pid) {
			return Identity{Source: config.Proxied}, nil
		}
	}
	return Identity{Source: config.Local}, nil
}

// fromLoopback repeats the proof while the client waits, because a tailscaled that is starting does
// not respond for a moment.
func (a *Control) fromLoopback(ctx context.Context, local, remote netip.AddrPort) (Identity, error) {
	const pause = 100 * time.Millisecond
	if !a.tailnet.Required() {
		return Identity{Source: config.Local}, nil
	}
	for {
		id, err := a.proveLoopback(ctx, local, remote)
		if err == nil || errors.Is(err, errClosed) {
			return id, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return id, err
		}
	}
}

// proveLoopback tells programs on this host from what tailscaled delivers over loopback: peers'
// connections if it has no network device, and what "tailscale serve" and Funnel forward. If the
// kernel cannot be asked, tailscaled is.
func (a *Control) proveLoopback(ctx context.Context, local, remote netip.AddrPort) (Identity, error) {
	t, err := a.tailnet.Look(ctx)
	if err != nil {
		return Identity{}, unproven(err, "could not find out whether this connection comes from the tailnet")
	}
	uid, open, kernelErr := a.OwnerOf(local, remote)
	switch {
	case kernelErr == nil && !open:
		return Identity{}, closed()
	case t.Absent || kernelErr == nil && t.cannotBe(uid):
		return Identity{Source: config.Local}, nil
	case !t.Known:
		return Identity{}, unproven(nil, "tailscaled on this host has not reported yet how it delivers connections")
	}
	return a.askTailscaled(ctx, t, local, remote)
}

// askTailscaled asks tailscaled about a connection from loopback that may be its own.
func (a *Control) askTailscaled(ctx context.Context, t Tailscaled, local, remote netip.AddrPort) (Identity, error) {
	if t.Userspace {
		if id, found, err := a.whoIs(ctx, remote); err != nil || found {
			return id, err
		}
	}
	forwards, funnel, err := a.tailnet.ForwardsTo(ctx, local.Port())
	switch {
	case err != nil:
		return Identity{}, unproven(err, "could not find out whether tailscaled forwards this connection")
	case forwards:
		return Identity{Source: config.Proxied, Funnel: funnel}, nil
	}
	// A tailscaled that ended meanwhile may have forwarded it.
	if _, open, err := a.OwnerOf(local, remote); err == nil && !open {
		return Identity{}, closed()
	}
	return Identity{Source: config.Local}, nil
}

// errClosed is the cause of a refusal because the peer's socket is gone, so its owner cannot be
// asked for. It may have been a tailscaled that has exited.
var errClosed = errors.New("its socket is no longer open on this host")

func closed() *Refusal {
	return unproven(errClosed, "the program at the other end of this connection has closed it")
}

// fromOwnAddress classifies a connection from one of this host's addresses. tailscaled makes such
// connections too, for subnet routes, 4via6 and exit nodes.
func (a *Control) fromOwnAddress(ctx context.Context, local, remote netip.AddrPort) (Identity, error) {
	t, err := a.tailnet.Look(ctx)
	if err != nil {
		return Identity{}, unproven(err, "could not find out whether this connection comes from the tailnet")
	}
	uid, onThisHost, err := a.OwnerOf(local, remote)
	if onThisHost && (t.Absent || t.cannotBe(uid)) {
		return Identity{Source: config.Local}, nil
	}
	return Identity{}, unproven(err,
		"cannot prove that this connection comes from a program on this host; a program here can connect to 127.0.0.1")
}

// fromTailnet asks tailscaled for the peer. Only a connection to one of this node's own addresses
// came through tailscaled, because other networks use the same ranges.
func (a *Control) fromTailnet(ctx context.Context, local, remote netip.AddrPort) (Identity, error) {
	t, err := a.tailnet.Look(ctx)
	switch {
	case err != nil || t.Absent || !t.Known || !a.tailnet.Running():
		return Identity{}, unproven(err, "the tailnet is not connected on this host")
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

// Plain returns an address as access lists and tailscaled write it: unmapped and without a zone.
func Plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}
