package access

import (
	"context"
	"net/netip"
	"slices"
)

// Tailnet is the host's tailscaled, as far as access depends on it. Its methods may be called from
// several goroutines at once, and return soon after ctx ends.
type Tailnet interface {
	// Required reports whether the configuration requires a tailnet. If not, connections from
	// loopback and Unix sockets are local without a proof.
	Required() bool
	// Running reports whether the backend was in state Running when it was last heard from.
	Running() bool
	// Look returns the present state of tailscaled.
	Look(ctx context.Context) (Tailscaled, error)
	// WhoIs asks which peer is behind an address. found is false only if tailscaled is certain that
	// none is.
	WhoIs(ctx context.Context, addr netip.AddrPort) (id Identity, found bool, err error)
	// ForwardsTo reports whether tailscaled forwards TCP connections from the tailnet or the
	// internet to a port of this host.
	ForwardsTo(ctx context.Context, port uint16) (forwards, funnel bool, err error)
}

// Tailscaled is the process on this host and what it reported about itself.
type Tailscaled struct {
	Absent    bool     // none runs; the other fields are zero
	PID       int      // 0: not known
	UIDs      []uint32 // the users that it may run as
	Known     bool     // it has reported the fields below since it started
	Userspace bool     // it has no network device and delivers peers' connections from loopback
	Addresses []netip.Addr
}

// cannotBe reports whether tailscaled runs as another user than uid. Unknown UIDs count as
// possible: false. In a user namespace, such as with PrivateUsers=, most users have the number
// 65534 (user_namespaces(7)), possibly including tailscaled's.
func (t Tailscaled) cannotBe(uid uint32) bool {
	return len(t.UIDs) > 0 && !slices.Contains(t.UIDs, uid)
}

// noTailnet is the Tailnet of a host that requires none.
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
