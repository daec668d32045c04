package tailnet

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tailscale.com/ipn"
	"tailscale.com/ipn/ipnstate"
)

// Status is what tailscaled says of this node
// (https://pkg.go.dev/tailscale.com/ipn/ipnstate#Status).
type Status struct {
	// Backend is the backend's state, one of ipn.State's names: NoState, NeedsLogin,
	// NeedsMachineAuth, Stopped, Starting, Running. It stays Running while the tailnet's
	// coordination server is out of reach, which Warnings tell. Empty: tailscaled did not respond.
	Backend string

	// Name is the MagicDNS name without the final dot, empty before the first login.
	Name string

	// HostName is the name that the host gave itself, which need not be unique.
	HostName string

	// Addresses are the node's own on the tailnet, also while it is stopped or its key is expired.
	Addresses []netip.Addr

	// Suffix is the MagicDNS suffix of the tailnet, such as tail1234.ts.net; empty if not known.
	Suffix string

	// KeyExpiry is when the node key expires, in UTC; zero means never, or not known.
	KeyExpiry time.Time

	// KeyExpired reports whether the key's expiry is what keeps the node out.
	KeyExpired bool

	// AuthURL is where somebody may log this node in, when tailscaled waits for it. Whoever has it
	// can claim the node: it goes to the operator's log and status, to nobody else.
	AuthURL string

	// Warnings are the health warnings, sorted, without those that say nothing about reaching this
	// node.
	Warnings []string

	// Userspace reports whether tailscaled runs without a TUN device, so that peers' connections
	// arrive from loopback.
	Userspace bool

	// Version is tailscaled's version.
	Version string

	// PID is the process ID of the tailscaled that said all this; 0 if the kernel did not tell.
	PID int

	// ByCommand reports whether the tailscale command said all this, and not the socket.
	ByCommand bool
}

// ShortName is a node's name as `tailscale status` shows it: without the suffix of this tailnet. It
// is empty for a node of another tailnet, which may have the same short name.
func (s Status) ShortName(node string) string {
	short, ours := strings.CutSuffix(node, "."+s.Suffix)
	if !ours || s.Suffix == "" {
		return ""
	}
	return short
}

// statusFrom takes our facts out of tailscaled's. A response that names no state is not one.
func statusFrom(facts *ipnstate.Status) (Status, error) {
	if facts == nil || facts.BackendState == "" {
		return Status{}, errors.New("the response names no backend state")
	}
	s := Status{
		Backend:   facts.BackendState,
		Addresses: facts.TailscaleIPs,
		AuthURL:   facts.AuthURL,
		Warnings:  warningsFrom(facts),
		Userspace: !facts.TUN,
		Version:   facts.Version,
	}
	if facts.CurrentTailnet != nil {
		s.Suffix = facts.CurrentTailnet.MagicDNSSuffix
	}
	if facts.Self != nil {
		s.addSelf(facts.Self, time.Now())
	}
	return s, nil
}

// addSelf adds what tailscaled says of this node as of any peer. On an expired key it may say
// neither Expired nor any warning: NeedsLogin with an expiry in the past is all there is to see.
func (s *Status) addSelf(self *ipnstate.PeerStatus, now time.Time) {
	s.Name = strings.TrimSuffix(self.DNSName, ".")
	s.HostName = self.HostName
	if len(s.Addresses) == 0 {
		s.Addresses = self.TailscaleIPs
	}
	if self.KeyExpiry != nil {
		s.KeyExpiry = self.KeyExpiry.UTC()
	}
	past := !s.KeyExpiry.IsZero() && s.KeyExpiry.Before(now)
	s.KeyExpired = self.Expired || past && s.Backend == ipn.NeedsLogin.String()
}

// warningsFrom returns the health warnings in a fixed order, and with no login URL in them.
func warningsFrom(facts *ipnstate.Status) []string {
	var warnings []string
	for _, text := range facts.Health {
		if text == "" || isNoise(text) {
			continue
		}
		if facts.AuthURL != "" {
			text = strings.ReplaceAll(text, facts.AuthURL, "(login URL)")
		}
		warnings = append(warnings, text)
	}
	slices.Sort(warnings)
	return slices.Compact(warnings)
}

// isNoise knows by their texts the warnings warming-up, which lasts for seconds, and
// ip-forwarding-off, which concerns subnet routers; a status does not carry the codes
// (https://pkg.go.dev/tailscale.com/health).
func isNoise(text string) bool {
	return strings.HasPrefix(text, "Tailscale is starting.") || strings.Contains(text, "IP forwarding is disabled")
}
