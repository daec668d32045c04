package config

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
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
	Node       SourceKind = "node"       // Value is a stable node ID, or a MagicDNS name, in full or short
	CIDR       SourceKind = "cidr"       // Prefix is the range
	Capability SourceKind = "capability" // Value is the capability's name
)

// String returns the spelling of the configuration file.
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

func parseSource(s string) (Source, *fault) {
	prefix, name, _ := strings.Cut(s, ":")
	switch {
	case slices.Contains([]SourceKind{Local, Tailnet, Proxied}, SourceKind(s)):
		return Source{Kind: SourceKind(s), Value: s}, nil
	case prefix == "tag": // https://tailscale.com/kb/1068/tags
		return named(Tag, s, regexp.MustCompile(`^tag:[A-Za-z][A-Za-z0-9-]*$`).MatchString(s),
			quote(s)+" is not a tag", `write "tag:" and a name of letters, digits and dashes that begins with a letter`)
	case prefix == "node":
		return named(Node, strings.TrimSuffix(name, "."), isHostname(strings.TrimSuffix(name, ".")),
			quote(s)+" is not a node", `write "node:" and a node ID, such as nRSTuvwXyz1CNTRL, or a MagicDNS name; tailscale status --json shows both`)
	case prefix == "cap":
		return named(Capability, name, isCapability(name),
			quote(s)+" is not a capability", `write "cap:" and the name in the tailnet's policy, such as "cap:example.com/cap/name"`)
	case prefix == "group" || prefix == "autogroup":
		return Source{}, invalid(quote(s)+" cannot be checked: tailscaled does not report the groups of a node",
			`name a user or a tag, or grant the group a capability in the tailnet's policy and allow that: "cap:example.com/cap/name"`)
	case strings.Contains(s, "@"):
		return named(User, s, regexp.MustCompile(`^[^@/:*]+@[^@/:]+$`).MatchString(s) && isVisible(s),
			quote(s)+" is not a user", `write the login name that the tailnet knows, such as "user@example.com"`)
	}
	return parseCIDR(s)
}

func named(kind SourceKind, value string, valid bool, summary, hint string) (Source, *fault) {
	if !valid {
		return Source{}, invalid(summary, hint)
	}
	return Source{Kind: kind, Value: value}, nil
}

// isCapability follows Tailscale's form domain/path
// (https://tailscale.com/kb/1537/grants-app-capabilities).
func isCapability(name string) bool {
	domain, path, _ := strings.Cut(strings.TrimPrefix(name, "https://"), "/")
	return isHostname(domain) && strings.Contains(domain, ".") && path != "" && isVisible(path)
}

// parseCIDR reads a range or a single address. A v4-mapped one becomes the IPv4 range that it means
// (RFC 4291, section 2.5.5.2).
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
	value := prefix.String()
	switch {
	case prefix != prefix.Masked():
		return Source{}, invalid(quote(s)+" has bits set beyond its length",
			"write "+strconv.Quote(prefix.Masked().String())+" for the range, or "+strconv.Quote(prefix.Addr().String())+" for the address")
	case prefix.IsSingleIP() && prefix.Addr().IsUnspecified():
		return Source{}, invalid("no client has the address "+quote(s), everyAddress)
	case prefix.IsSingleIP():
		value = prefix.Addr().String()
	}
	return Source{Kind: CIDR, Value: value, Prefix: prefix}, nil
}

const everyAddress = `"0.0.0.0/0" and "::/0" are all addresses, "tailnet" is every peer of the tailnet`

func notSource(s string) *fault {
	hint := `write one of "local", "tailnet", "proxied", "user@example.com", "tag:name", "node:name", an address, a CIDR, "cap:example.com/cap/name"`
	switch {
	case s == "loopback":
		hint = `did you mean "local"?`
	case s == "*" || s == "all" || s == "any" || s == "everyone":
		hint = everyAddress
	}
	return invalid(quote(s)+" is not a source", cmp.Or(DidYouMean(s, []string{"local", "tailnet", "proxied"}), hint))
}

// parseOrigin reads the origin of a web page (RFC 6454, section 6.2) and returns it in the spelling
// of browsers, so that it can be compared with an Origin header as it is. "*" is any.
func parseOrigin(s string) (string, *fault) {
	scheme, _, isURL := strings.Cut(strings.ToLower(s), "://")
	switch {
	case s == "*":
		return s, nil
	case s == "null":
		return "", invalid(`"null" is an origin that any web page can have`, `allow all of them with "*", or serve the page from an origin of its own`)
	case isURL && scheme != "http" && scheme != "https" && isFieldName(scheme):
		return "", invalid(quote(s)+" is not the origin of a web page", "remove it: programs with a scheme of their own need no entry")
	}
	u, bad := parseBareURL(s, originExample, "https", "http")
	if bad != nil {
		return "", bad
	}
	usual := map[string]string{"http": ":80", "https": ":443"}[u.Scheme] // browsers leave it out
	return u.Scheme + "://" + strings.TrimSuffix(u.Host, usual), nil
}

const originExample = "https://chat.example.com"
