package tailnet

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"tailscale.com/client/local"
	"tailscale.com/tailcfg"
	"tailscale.com/tailcfg/peercap"
)

// Filter is the packet filter that this node got from the tailnet's policy: who may
// open which connection to it. What no rule admits is dropped without an answer.
type Filter struct{ rules []tailcfg.FilterRule }

// Filter reads it, within AttemptTimeout. tailscaled shows it to root alone (and to
// the operator that root named): for others the error is fs.ErrPermission.
func (c *Client) Filter(ctx context.Context) (Filter, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	rules, err := c.local.DebugPacketFilterRules(ctx)
	switch {
	case local.IsAccessDeniedError(err):
		return Filter{}, fmt.Errorf("asking tailscaled for its packet filter: %w", fs.ErrPermission)
	case err != nil:
		return Filter{}, fmt.Errorf("asking tailscaled for its packet filter: %w", c.explain(err))
	}
	return Filter{rules}, nil
}

// AdmitsTCP reports whether node may open a TCP connection from its address src to
// dst, an address of this node.
func (f Filter) AdmitsTCP(node Node, src netip.Addr, dst netip.AddrPort) bool {
	return slices.ContainsFunc(f.rules, func(r tailcfg.FilterRule) bool {
		return isForTCP(r) && hasSource(r, node, src) && slices.ContainsFunc(r.DstPorts, func(d tailcfg.NetPortRange) bool {
			return covers(d.IP, dst.Addr()) && d.Ports.First <= dst.Port() && dst.Port() <= d.Ports.Last
		})
	})
}

// Grants reports whether any node is granted the application capability here.
func (f Filter) Grants(capability string) bool {
	return slices.ContainsFunc(f.rules, func(r tailcfg.FilterRule) bool {
		return slices.ContainsFunc(r.CapGrant, func(g tailcfg.CapGrant) bool {
			_, granted := g.CapMap[peercap.Cap(capability)]
			return granted || slices.Contains(g.Caps, peercap.Cap(capability))
		})
	})
}

// isForTCP: a rule that names no protocol is for TCP, UDP and ICMP.
func isForTCP(r tailcfg.FilterRule) bool {
	const tcp = 6 // https://www.iana.org/assignments/protocol-numbers
	return len(r.IPProto) == 0 || slices.Contains(r.IPProto, tcp)
}

func hasSource(r tailcfg.FilterRule, node Node, src netip.Addr) bool {
	return slices.ContainsFunc(r.SrcIPs, func(s string) bool {
		if attribute, ok := strings.CutPrefix(s, "cap:"); ok {
			return slices.Contains(node.Attributes, attribute)
		}
		return covers(s, src)
	})
}

// covers reads one of the forms of tailcfg.FilterRule.SrcIPs: "*", an address, a
// prefix, or two addresses with a hyphen between, both included. What cannot be read
// covers nothing.
func covers(set string, addr netip.Addr) bool {
	if set == "*" {
		return true
	}
	if prefix, err := netip.ParsePrefix(set); err == nil {
		return prefix.Contains(addr)
	}
	first, last, isRange := strings.Cut(set, "-")
	if !isRange {
		last = first
	}
	from, err := netip.ParseAddr(first)
	if err != nil {
		return false
	}
	to, err := netip.ParseAddr(last)
	return err == nil && from.BitLen() == addr.BitLen() && from.Compare(addr) <= 0 && addr.Compare(to) <= 0
}
