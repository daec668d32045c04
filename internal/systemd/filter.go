package systemd

import (
	"net/netip"
	"slices"
	"strings"
)

// IPFilter is a unit's IPAddressAllow= and IPAddressDeny=, see systemd.resource-control(5).
type IPFilter struct {
	Allow, Deny []netip.Prefix
	// Lost reports that systemd could not apply the filter, and started the unit without it.
	// systemd counts a unit's bytes with the same kernel programs that filter, and where the kernel
	// or the container has none it does neither (seen with versions 247 to 262). Nothing else shows
	// that.
	Lost bool
}

func parsePrefixes(text string) []netip.Prefix {
	var all []netip.Prefix
	for field := range strings.FieldsSeq(text) {
		if p, err := netip.ParsePrefix(field); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// Admits reports whether packets of every address in p pass: one entry allows all of p, or none
// denies any of it. Several entries that allow p together are not recognized.
func (f IPFilter) Admits(p netip.Prefix) bool {
	contains := func(allowed netip.Prefix) bool { return allowed.Bits() <= p.Bits() && allowed.Overlaps(p) }
	return slices.ContainsFunc(f.Allow, contains) || !slices.ContainsFunc(f.Deny, p.Overlaps)
}
