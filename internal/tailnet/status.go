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

// Status is what tailscaled reports about this node
// (https://pkg.go.dev/tailscale.com/ipn/ipnstate#Status).
type Status struct {
	// Backend is the backend's state, one of ipn.State's names: NoState, NeedsLogin,
	// NeedsMachineAuth, Stopped, Starting, Running. It stays Running while the coordination server
	// is out of reach, which Warnings then mention. It is empty if tailscaled did not respond.
	Backend string

	// Name is the MagicDNS name without the final dot, empty before the first login.
	Name string

	// Addresses are the node's own on the tailnet, even while it is stopped or its key has expired.
	Addresses []netip.Addr

	// Suffix is the MagicDNS suffix of the tailnet, such as tail1234.ts.net; empty if not known.
	Suffix string

	// KeyExpiry is when the node key expires, in UTC; zero: never, or not known.
	KeyExpiry time.Time

	// KeyExpired reports whether the node is off the tailnet because its key expired.
	KeyExpired bool

	// KeyNotice is 14 or 3 days if the node key expires within that time; 0 if it expires later, or
	// has expired.
	KeyNotice time.Duration

	// AuthURL is the login URL while tailscaled waits for a login. Anybody who has it can claim the
	// node, so it goes only to the operator's log and status.
	AuthURL string

	// Warnings are the health warnings that concern reaching this node, sorted.
	Warnings []string

	// Userspace reports whether tailscaled runs without a TUN device, so that peers' connections
	// arrive from loopback.
	Userspace bool

	// Version is tailscaled's version.
	Version string

	// PID is the process ID of the tailscaled that reported this; 0: not known.
	PID int

	// ByCommand says that the status comes from the tailscale command and not from the socket.
	ByCommand bool
}

// ShortName returns a node's name as `tailscale status` shows it, without the suffix of this
// tailnet. It is empty for a node of another tailnet, whose short name may not be unique.
func (s Status) ShortName(node string) string {
	short, ours := strings.CutSuffix(node, "."+s.Suffix)
	if !ours || s.Suffix == "" {
		return ""
	}
	return short
}

// statusFrom converts tailscaled's status. A response without a state is an error.
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

// addSelf adds the fields that tailscaled reports for every node. After the key expired, tailscaled
// may set neither Expired nor a warning: only NeedsLogin and an expiry in the past show it.
func (s *Status) addSelf(self *ipnstate.PeerStatus, now time.Time) {
	s.Name = strings.TrimSuffix(self.DNSName, ".")
	if len(s.Addresses) == 0 {
		s.Addresses = self.TailscaleIPs
	}
	if self.KeyExpiry != nil {
		s.KeyExpiry = self.KeyExpiry.UTC()
	}
	past := !s.KeyExpiry.IsZero() && s.KeyExpiry.Before(now)
	s.KeyExpired = self.Expired || past && s.Backend == ipn.NeedsLogin.String()
	switch left := s.KeyExpiry.Sub(now); {
	case s.KeyExpiry.IsZero(), s.KeyExpired, past, left > 14*day:
	case left > 3*day:
		s.KeyNotice = 14 * day
	default:
		s.KeyNotice = 3 * day
	}
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

// isNoise recognizes the warnings warming-up, which lasts for seconds, and ip-forwarding-off, which
// concerns subnet routers. It goes by their texts, because a status has no codes
// (https://pkg.go.dev/tailscale.com/health).
func isNoise(text string) bool {
	return strings.HasPrefix(text, "Tailscale is starting.") || strings.Contains(text, "IP forwarding is disabled")
}

// debouncer holds health warnings back until they have lasted a while, because many come and go
// with the network.
type debouncer struct {
	delay time.Duration
	seen  map[string]sighting // by warningKey
}

// sighting is the first text of a warning, so that a growing duration in it is no change.
type sighting struct {
	text  string
	since time.Time
}

// lasting takes the warnings of a reading at now and returns those that have lasted, sorted. A
// warning that was missing from a reading starts again.
func (d *debouncer) lasting(warnings []string, now time.Time) []string {
	current := map[string]sighting{}
	var out []string
	for _, text := range warnings {
		key := warningKey(text)
		s, known := d.seen[key]
		if !known {
			s = sighting{text: text, since: now}
		}
		if now.Sub(s.since) >= d.delay {
			out = append(out, s.text)
		}
		current[key] = s
	}
	d.seen = current
	slices.Sort(out)
	return slices.Compact(out)
}

// warningKey returns the text without durations.
func warningKey(text string) string {
	words := slices.DeleteFunc(strings.Fields(text), func(word string) bool {
		_, err := time.ParseDuration(strings.Trim(word, ".,;:()"))
		return err == nil
	})
	return strings.Join(words, " ")
}

const day = 24 * time.Hour

// ExpiryWarning says that the node key expires within two weeks, and how to renew it. It is empty
// if the key expires later, or has expired already, which is an error.
func (s Status) ExpiryWarning() string {
	if s.KeyNotice == 0 {
		return ""
	}
	return "the node key expires at " + s.KeyExpiry.Format("2006-01-02 15:04 MST") +
		"; run `tailscale up --force-reauth` on this host, or disable its key expiry in the admin console"
}
