package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// Source is one entry of an allow list.
type Source struct {
	Kind SourceKind
	// Value is the entry without its "node:" or "cap:"; tags keep "tag:".
	Value string
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
	Node       SourceKind = "node"       // Value is a stable node ID or a MagicDNS name
	CIDR       SourceKind = "cidr"       // Prefix is the range
	Capability SourceKind = "capability" // Value is the capability's name
)

// String gives the spelling of the configuration file.
func (s Source) String() string {
	switch s.Kind {
	case Node:
		return "node:" + s.Value
	case Capability:
		return "cap:" + s.Value
	default:
		return s.Value
	}
}

// parseSources reads a list of strings and finds fault with each element.
func parseSources(list cty.Value) ([]Source, []fault) {
	found := []Source{}
	var faults []fault
	for i, v := range list.AsValueSlice() {
		source, wrong := parseElement(v)
		if wrong != nil {
			wrong.element = i + 1
			faults = append(faults, *wrong)
			continue
		}
		found = append(found, source)
	}
	return found, faults
}

func parseElement(v cty.Value) (Source, *fault) {
	if v.IsNull() || v.Type() != cty.String {
		return Source{}, &fault{
			summary: "an entry is " + describe(v),
			hint:    `entries are strings such as "tailnet", in quotes`,
		}
	}
	return parseSource(v.AsString())
}

// parseSource reads one entry of an allow list.
func parseSource(s string) (Source, *fault) {
	switch SourceKind(s) {
	case Local, Tailnet, Proxied:
		return Source{Kind: SourceKind(s), Value: s}, nil
	}
	prefix, rest, _ := strings.Cut(s, ":")
	switch {
	case prefix == "tag":
		return parseTag(s, rest)
	case prefix == "node":
		return parseNode(rest)
	case prefix == "cap":
		return parseCapability(rest)
	case prefix == "group" || prefix == "autogroup":
		return Source{}, &fault{
			summary: quote(s) + " cannot be checked: tailscaled does not tell a node's groups",
			hint:    `name a user or a tag, or grant the group a capability in the tailnet's policy and allow that: "cap:example.com/cap/name"`,
		}
	case strings.Contains(s, "@"):
		return parseUser(s)
	}
	return parseCIDR(s)
}

// parseTag follows the tailnet policy: letters, digits and dashes, a letter
// first (https://tailscale.com/kb/1068/tags).
func parseTag(s, name string) (Source, *fault) {
	wrong := strings.IndexFunc(name, func(r rune) bool { return !isAlphanumeric(r) && r != '-' })
	if name == "" || wrong >= 0 || name[0] == '-' || isDigit(rune(name[0])) {
		return Source{}, &fault{
			summary: quote(s) + " is not a tag",
			hint:    `"tag:" and a name of letters, digits and dashes that begins with a letter`,
		}
	}
	return Source{Kind: Tag, Value: s}, nil
}

func parseNode(name string) (Source, *fault) {
	name = strings.TrimSuffix(name, ".")
	if !isHostname(name) {
		return Source{}, &fault{
			summary: quote("node:"+name) + " is not a node",
			hint:    `"node:" and a node ID, such as nRSTuvwXyz1CNTRL, or a MagicDNS name; both are shown by: tailscale status --json`,
		}
	}
	return Source{Kind: Node, Value: name}, nil
}

// parseCapability follows Tailscale's form domain/path
// (https://tailscale.com/kb/1537/grants-app-capabilities).
func parseCapability(name string) (Source, *fault) {
	domain, path, _ := strings.Cut(strings.TrimPrefix(name, "https://"), "/")
	if !isHostname(domain) || !strings.Contains(domain, ".") || path == "" || !isVisible(path) {
		return Source{}, &fault{
			summary: quote("cap:"+name) + " is not a capability",
			hint:    `"cap:" and the name in the tailnet's policy, such as "cap:example.com/cap/name"`,
		}
	}
	return Source{Kind: Capability, Value: name}, nil
}

func parseUser(s string) (Source, *fault) {
	name, domain, _ := strings.Cut(s, "@")
	if name == "" || domain == "" || strings.ContainsAny(domain, "@/:") || strings.ContainsAny(name, "/:*") || !isVisible(s) {
		return Source{}, &fault{
			summary: quote(s) + " is not a user",
			hint:    `the login name that the tailnet knows, such as "user@example.com"`,
		}
	}
	return Source{Kind: User, Value: s}, nil
}

// parseCIDR reads a prefix or a single address. A v4-mapped one becomes the
// IPv4 range that it means (RFC 4291, section 2.5.5.2).
func parseCIDR(s string) (Source, *fault) {
	prefix, err := netip.ParsePrefix(s)
	if addr, addrErr := netip.ParseAddr(s); addrErr == nil && addr.Zone() == "" {
		prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err != nil {
		return Source{}, notSource(s)
	}
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	if prefix != prefix.Masked() {
		return Source{}, &fault{
			summary: quote(s) + " has bits set beyond its length",
			hint:    "the range is " + strconv.Quote(prefix.Masked().String()) + ", the single address " + strconv.Quote(prefix.Addr().String()),
		}
	}
	value := prefix.String()
	if prefix.IsSingleIP() {
		value = prefix.Addr().String()
	}
	return Source{Kind: CIDR, Value: value, Prefix: prefix}, nil
}

func notSource(s string) *fault {
	forms := `"local", "tailnet", "proxied", "user@example.com", "tag:name", "node:name", an address or CIDR, "cap:example.com/cap/name"`
	wrong := &fault{summary: quote(s) + " is not a source", hint: "one of " + forms}
	near := nearest(s, []string{"local", "tailnet", "proxied"})
	switch {
	case slices.Contains([]string{"localhost", "loopback"}, s):
		near = "local"
	case slices.Contains([]string{"*", "all", "any", "everyone"}, s):
		wrong.hint = `everybody is "0.0.0.0/0" and "::/0"; every peer of the tailnet is "tailnet"`
	}
	if near != "" {
		wrong.hint = "did you mean " + strconv.Quote(near) + "?"
	}
	return wrong
}

func spellSources(list []Source) string {
	words := make([]string, len(list))
	for i, s := range list {
		words[i] = strconv.Quote(s.String())
	}
	return "[" + strings.Join(words, ", ") + "]"
}
