package doctor

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// magicDNSAddress is where tailscaled answers DNS, on a host with its network device
// (https://tailscale.com/kb/1381/what-is-quad100).
const magicDNSAddress = "100.100.100.100:53"

// checkMagicDNS resolves this node's own name as a peer would have to. Peers ask
// their own resolver: that this host's does not know the name is a warning only, a
// wrong address is not.
func checkMagicDNS(ctx context.Context, x *exam) []Finding {
	name := x.node.Name
	switch {
	case !x.onTailnet() || name == "":
		return nil
	case x.network != nil && !x.network.MagicDNS:
		return []Finding{warn("the tailnet has MagicDNS off: clients must use %s", x.node.Addresses[0]).
			mend("switch MagicDNS on: https://login.tailscale.com/admin/dns")}
	}
	found, err := lookUp(ctx, net.DefaultResolver, name)
	own := func(a netip.Addr) bool { return slices.Contains(x.node.Addresses, a) }
	switch {
	case len(found) > 0 && slices.ContainsFunc(found, func(a netip.Addr) bool { return !own(a) }):
		return []Finding{fail("%s resolves to %s here, and this node is %s", name, joinAddresses(found), joinAddresses(x.node.Addresses)).
			mend("getent hosts "+name, "look for the name in /etc/hosts and in the search domains of /etc/resolv.conf")}
	case len(found) > 0:
		return []Finding{ok("%s is %s", name, joinAddresses(found))}
	case x.node.Userspace:
		return []Finding{unknown("tailscaled has no network device, so this host cannot ask MagicDNS; peers can")}
	case x.prefs != nil && !x.prefs.AcceptDNS:
		return []Finding{warn("this host does not ask MagicDNS (peers may): it was told not to").mend("tailscale set --accept-dns=true")}
	}
	if direct, errDirect := lookUp(ctx, magicDNS(), name); errDirect == nil && slices.ContainsFunc(direct, own) {
		return []Finding{warn("MagicDNS knows %s, but this host's resolver does not ask it: %v", name, plain(err)).
			mend("tailscale status   # says why", "see https://tailscale.com/kb/1188/linux-dns")}
	}
	return []Finding{warn("%s does not resolve: %v", name, plain(err)).mend("tailscale dns status", "see https://tailscale.com/kb/1081/magicdns")}
}

func lookUp(ctx context.Context, r *net.Resolver, name string) ([]netip.Addr, error) {
	found, err := r.LookupNetIP(ctx, "ip", name+".")
	for i := range found {
		found[i] = found[i].Unmap()
	}
	return found, err
}

// magicDNS is a resolver that asks tailscaled and nobody else.
func magicDNS() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, magicDNSAddress)
	}}
}

// checkWayOut says what stands between this host and the upstream.
func checkWayOut(ctx context.Context, x *exam) []Finding {
	parts := []string{"resolver " + resolvers(ctx), "no proxy", "no exit node"}
	if x.settings != nil && len(x.settings.Proxy.UpstreamProxies) > 0 {
		hosts := make([]string, 0, len(x.settings.Proxy.UpstreamProxies))
		for _, p := range x.settings.Proxy.UpstreamProxies {
			hosts = append(hosts, p.Host)
		}
		parts[1] = "proxy " + strings.Join(hosts, ", then ")
	}
	if x.prefs == nil || x.prefs.ExitNode == "" {
		return []Finding{ok("%s", strings.Join(parts, ", "))}
	}
	parts[2] = "exit node " + x.exitNode()
	return []Finding{warn("%s: all that goes to the upstream leaves through that node", strings.Join(parts, ", ")).
		mend("tailscale set --exit-node=   # if it is not meant")}
}

// exitNode is its name, if it is known.
func (x *exam) exitNode() string {
	if x.network != nil {
		if found := x.network.Find(x.prefs.ExitNode); len(found) == 1 {
			return found[0].Name
		}
	}
	return x.prefs.ExitNode
}

// resolvers are those of resolv.conf(5).
func resolvers(ctx context.Context) string {
	text, done := inTime(ctx, func() string {
		content, err := os.ReadFile("/etc/resolv.conf")
		if err != nil {
			return ""
		}
		return string(content)
	})
	var all []string
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "nameserver" {
			all = append(all, words[1])
		}
	}
	switch {
	case !done:
		return "unknown"
	case len(all) == 0:
		return "127.0.0.1 (none is configured)"
	}
	return strings.Join(all, ", ")
}
