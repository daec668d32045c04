package tailnet

import (
	"net/netip"
	"slices"

	"tailscale.com/tailcfg"
)

// Grant is one rule of the tailnet's policy, as in https://tailscale.com/kb/1324/grants. Rules only
// ever add rights.
type Grant struct {
	// From and To are the nodes that may reach, and may be reached. Nil means all.
	From, To []*Node

	// Port is the TCP and UDP port that may be reached; 0 means all. A rule with capabilities opens
	// no port.
	Port uint16

	// Capabilities are application capabilities that From has towards To, by name, each with its
	// parameters: JSON, or nothing.
	Capabilities map[string]string
}

// Grant replaces the present rules by these, at once and for all nodes. Without a rule no node
// reaches another.
func (l *Lab) Grant(rules ...Grant) {
	l.t.Helper()
	l.control.change(func() { l.control.grants = rules })
}

// packetFilter is what the rules mean to one node: who may reach it and its routes.
func packetFilter(rules []Grant, self string, addresses map[string][]netip.Prefix, routes []netip.Prefix) []tailcfg.FilterRule {
	filter := []tailcfg.FilterRule{}
	for _, g := range rules {
		if !covers(g.To, self) {
			continue
		}
		filter = append(filter, g.filterRule(addresses[self], routes, sources(g.From, addresses)))
	}
	return filter
}

func covers(nodes []*Node, name string) bool {
	for _, n := range nodes {
		if n.spec.Name == name {
			return true
		}
	}
	return nodes == nil
}

func sources(nodes []*Node, addresses map[string][]netip.Prefix) []string {
	if nodes == nil {
		return []string{"*"}
	}
	var all []string
	for _, n := range nodes {
		for _, prefix := range addresses[n.spec.Name] {
			all = append(all, prefix.Addr().String())
		}
	}
	return all
}

func (g Grant) filterRule(self, routes []netip.Prefix, from []string) tailcfg.FilterRule {
	rule := tailcfg.FilterRule{SrcIPs: from}
	if len(g.Capabilities) > 0 {
		capabilities := tailcfg.PeerCapMap{}
		for name, parameters := range g.Capabilities {
			var values []tailcfg.RawMessage
			if parameters != "" {
				values = append(values, tailcfg.RawMessage(parameters))
			}
			capabilities[tailcfg.PeerCapability(name)] = values
		}
		rule.CapGrant = []tailcfg.CapGrant{{Dsts: self, CapMap: capabilities}}
		return rule
	}
	ports := tailcfg.PortRange{First: g.Port, Last: g.Port}
	if g.Port == 0 {
		ports = tailcfg.PortRangeAny
	}
	for _, prefix := range slices.Concat(self, routes) {
		rule.DstPorts = append(rule.DstPorts, tailcfg.NetPortRange{IP: prefix.String(), Ports: ports})
	}
	return rule
}
