package proxy_test

import (
	"context"
	"errors"
	"net/netip"

	"oauth-proxyd/internal/access"
)

type whoIs = func(context.Context, netip.AddrPort) (access.Identity, bool, error)

// fakeTailnet is a tailscaled as access sees it.
type fakeTailnet struct {
	down      bool
	lookErr   error
	forwarded bool
	funnel    bool
	access.Tailscaled
	whoIs whoIs // nil: knows nobody
}

func (f *fakeTailnet) Required() bool { return true }
func (f *fakeTailnet) Running() bool  { return !f.down }

func (f *fakeTailnet) Look(context.Context) (access.Tailscaled, error) {
	return f.Tailscaled, f.lookErr
}

func (f *fakeTailnet) ForwardsTo(context.Context, uint16) (forwards, funnel bool, err error) {
	return f.forwarded, f.funnel, nil
}

func (f *fakeTailnet) WhoIs(ctx context.Context, addr netip.AddrPort) (access.Identity, bool, error) {
	if f.whoIs == nil {
		return access.Identity{}, false, nil
	}
	return f.whoIs(ctx, addr)
}

// tailscaledUID is the user that the fake runs as.
const tailscaledUID = 0

// onTailnet gives a door a tailnet, and changes it.
func onTailnet(changes ...func(*fakeTailnet)) func(*setup) {
	return func(s *setup) {
		f, ok := s.Tailnet.(*fakeTailnet)
		if !ok {
			f = &fakeTailnet{
				PID: 1, UIDs: []uint32{tailscaledUID}, Known: true,
				Addresses: []netip.Addr{netip.MustParseAddr("100.70.1.2"), netip.MustParseAddr("fd7a:115c:a1e0::2")},
			}
			s.Tailnet = f
		}
		for _, change := range changes {
			change(f)
		}
	}
}

// asks has tailscaled respond to WhoIs like that.
func asks(w whoIs) func(*setup) { return onTailnet(func(f *fakeTailnet) { f.whoIs = w }) }

// knows is tailscaled that knows one peer.
func knows(id access.Identity) func(*setup) {
	return asks(func(context.Context, netip.AddrPort) (access.Identity, bool, error) { return id, true, nil })
}

func fails(context.Context, netip.AddrPort) (access.Identity, bool, error) {
	return access.Identity{}, false, errors.New("no response")
}

// The tailnets of the cases below.
func userspace(f *fakeTailnet)  { f.Userspace = true }
func down(f *fakeTailnet)       { f.down = true }
func absent(f *fakeTailnet)     { f.Tailscaled = access.Tailscaled{Absent: true} }
func forwarded(f *fakeTailnet)  { f.forwarded = true }
func silent(f *fakeTailnet)     { f.Known, f.Userspace, f.Addresses = false, false, nil }
func numberless(f *fakeTailnet) { f.UIDs = []uint32{65534} }
func hidden(f *fakeTailnet)     { f.lookErr = errors.New("no permission") }

// ownedBy has the kernel say that the other end of each connection is a socket of this user.
func ownedBy(uid uint32) func(*setup) {
	return func(s *setup) {
		s.owner = func(_, _ netip.AddrPort) (uint32, bool, error) { return uid, true, nil }
	}
}

// noDiag has it say nothing.
func noDiag(s *setup) {
	s.owner = func(_, _ netip.AddrPort) (uint32, bool, error) { return 0, false, errors.New("no sock_diag") }
}

// notHere has it say that there is no such socket on this host.
func notHere(s *setup) {
	s.owner = func(_, _ netip.AddrPort) (uint32, bool, error) { return 0, false, nil }
}
func funnelled(f *fakeTailnet) { f.forwarded, f.funnel = true, true }
