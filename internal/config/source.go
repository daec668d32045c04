package config

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Source is one entry of an allow list.
type Source struct {
	Kind  SourceKind
	Value string // the entry in the spelling of the file, but for the dot after a MagicDNS name
	// Prefix is set for CIDR alone; masked, and never v4-mapped.
	Prefix netip.Prefix
}

// SourceKind says what a Source names.
type SourceKind string

const (
	Local      SourceKind = "local"      // loopback, Unix sockets, the host's own addresses
	Tailnet    SourceKind = "tailnet"    // every peer of the tailnet
	Proxied    SourceKind = "proxied"    // another proxy on this host
	User       SourceKind = "user"       // Value is a login name
	Tag        SourceKind = "tag"        // Value is "tag:name"
	Node       SourceKind = "node"       // Value is "node:" and a stable node ID, or a MagicDNS name, in full or short
	CIDR       SourceKind = "cidr"       // Prefix is the range
	Capability SourceKind = "capability" // Value is "cap:" and the capability's name
)

// String returns the spelling of the configuration file.
func (s Source) String() string { return s.Value }

// sources binds an allow list. If needed is true, an empty list is an error, because it would
// refuse every request.
func sources(path string, field *[]Source, needed bool) attribute {
	check := func(all []Source) *fault {
		if needed && len(all) == 0 {
			return invalid("an empty list refuses every request", `remove the line for the default, ["local", "tailnet"], or name who may send requests`)
		}
		return nil
	}
	return list(path, "tailnet", field, parseSource, Source.String, check)
}

// parseSource does not judge the form of a name: one that does not exist matches nobody, and doctor
// says so.
func parseSource(s string) (Source, *fault) {
	if strings.HasPrefix(s, "node:") {
		s = strings.TrimSuffix(s, ".")
	}
	prefix, name, _ := strings.Cut(s, ":")
	kind := map[string]SourceKind{"tag": Tag, "node": Node, "cap": Capability}[prefix]
	switch {
	case slices.Contains([]SourceKind{Local, Tailnet, Proxied}, SourceKind(s)):
		return Source{Kind: SourceKind(s), Value: s}, nil
	case prefix == "group" || prefix == "autogroup":
		return Source{}, invalid(quote(s)+" cannot be checked: tailscaled does not report the groups of a node",
			`name a user or a tag, or grant the group a capability in the tailnet's policy and allow that: "cap:example.com/cap/name"`)
	case kind != "" && name != "" && isVisible(name):
		return Source{Kind: kind, Value: s}, nil
	case strings.Contains(s, "@") && !strings.ContainsAny(s, ":/") && isVisible(s): // a URL may hold a password
		return Source{Kind: User, Value: s}, nil
	}
	return parseCIDR(s)
}

// parseCIDR reads a range or a single address. A v4-mapped one becomes the IPv4 range that it means
// (RFC 4291, section 2.5.5.2).
func parseCIDR(s string) (Source, *fault) {
	prefix, err := netip.ParsePrefix(s)
	if addr, addrErr := netip.ParseAddr(s); addrErr == nil && addr.Zone() == "" {
		prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err != nil {
		return Source{}, invalid(quote(s)+" is not a source", cmp.Or(DidYouMean(s, []string{"local", "tailnet", "proxied"}),
			`write one of "local", "tailnet", "proxied", "user@example.com", "tag:name", "node:name", an address, a CIDR, "cap:example.com/cap/name"`))
	}
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	value := prefix.String()
	switch {
	case prefix != prefix.Masked():
		return Source{}, invalid(quote(s)+" has bits set beyond its length",
			"write "+strconv.Quote(prefix.Masked().String())+" for the range, or "+strconv.Quote(prefix.Addr().String())+" for the address")
	case prefix.IsSingleIP():
		value = prefix.Addr().String()
	}
	return Source{Kind: CIDR, Value: value, Prefix: prefix}, nil
}

// parseOrigin reads the origin of a web page, as a browser writes it in an Origin header (RFC 6454,
// section 6.2): in lower case, without the default port. "*" is any.
func parseOrigin(s string) (string, *fault) {
	if s == "*" {
		return s, nil
	}
	u, bad := parseBareURL(s, originExample, "https", "http")
	if bad != nil {
		return "", bad
	}
	defaultPort := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
	return strings.TrimSuffix(strings.ToLower(u.String()), defaultPort), nil
}

const originExample = "https://chat.example.com"
