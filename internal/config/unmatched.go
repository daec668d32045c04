package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// Warnings say what is wrong and does not keep the configuration from being used:
// certificates of upstream_ca_file that cannot be, or not for long, and what
// Unmatched finds. Each is one line and begins with the setting.
func (c *Config) Warnings() []string {
	return append(slices.Clone(c.Proxy.warnings), c.Unmatched()...)
}

// Unmatched says of each entry of an allow list that can match nobody why that is so.
func (c *Config) Unmatched() []string {
	var all []string
	for _, list := range []struct {
		name    string
		sources []Source
	}{{"access.allow", c.Access.Allow}, {"metrics.allow", c.Metrics.Allow}} {
		for _, s := range list.sources {
			if why := s.unmatched(c.Tailscale.Required); why != "" {
				all = append(all, fmt.Sprintf("%s: %s matches nobody: %s", list.name, strconv.Quote(s.String()), why))
			}
		}
	}
	return all
}

// unmatched is why nobody is such a source; "" if somebody may be.
func (s Source) unmatched(tailnet bool) string {
	switch s.Kind {
	case User, Tag, Node, Capability:
		if !tailnet {
			return "with tailscale.required = false, tailscaled is not asked who a client is"
		}
	case CIDR:
		return unmatchedPrefix(s.Prefix)
	case Local, Tailnet, Proxied: // "tailnet" is there by default, whether there is one or not
	}
	return ""
}

func unmatchedPrefix(p netip.Prefix) string {
	multicast4, multicast6 := netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("ff00::/8")
	addr := p.Addr()
	switch {
	case addr.Is4() && p.Bits() >= multicast4.Bits() && multicast4.Contains(addr),
		addr.Is6() && p.Bits() >= multicast6.Bits() && multicast6.Contains(addr):
		return "no connection comes from a multicast address"
	case p.IsSingleIP() && addr.IsUnspecified():
		return "no connection comes from the unspecified address; everybody is " + strconv.Quote(netip.PrefixFrom(addr, 0).String())
	}
	return ""
}
