package systemd

import (
	"net/netip"
	"slices"
	"strings"
)

// IPFilter is a unit's IPAddressAllow= and IPAddressDeny=, see systemd.resource-control(5).
type IPFilter struct {
	Allow, Deny []netip.Prefix
	// Lost: the manager could not put the filter in force, and went on without.
	Lost bool
}

// isCounted reports whether the manager counts the bytes of a unit. It counts them with the
// programs that filter, so that it does neither where the kernel, or the container, has none: so
// seen with versions 247 to 262. It says so nowhere else.
func isCounted(bytes string) bool {
	return bytes != "" && bytes != "[no data]"
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

// Admits reports whether packets of every address in p pass. Those that are allowed do, whatever is
// denied; so do those that are not denied.
func (f IPFilter) Admits(p netip.Prefix) bool {
	contains := func(o netip.Prefix) bool { return o.Bits() <= p.Bits() && o.Overlaps(p) }
	switch {
	case slices.ContainsFunc(f.Allow, contains), !slices.ContainsFunc(f.Deny, p.Overlaps):
		return true
	case !f.AdmitsSome(p):
		return false
	}
	low, high := halves(p)
	return f.Admits(low) && f.Admits(high)
}

// AdmitsSome reports whether those of an address in p are named as allowed, or not all of them are
// denied.
func (f IPFilter) AdmitsSome(p netip.Prefix) bool {
	contains := func(o netip.Prefix) bool { return o.Bits() <= p.Bits() && o.Overlaps(p) }
	return slices.ContainsFunc(f.Allow, p.Overlaps) || !slices.ContainsFunc(f.Deny, contains)
}

// halves splits a prefix of more than one address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits() + 1
	address := p.Masked().Addr().AsSlice()
	low = netip.PrefixFrom(p.Masked().Addr(), bits)
	address[(bits-1)/8] |= 1 << (7 - (bits-1)%8)
	first, _ := netip.AddrFromSlice(address)
	return low, netip.PrefixFrom(first, bits)
}
