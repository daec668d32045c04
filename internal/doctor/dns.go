package doctor

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// checkMagicDNS resolves this node's own name, as peers do. A wrong address is a failure. A name
// that does not resolve is only a warning, because peers ask their own resolvers.
func checkMagicDNS(ctx context.Context, x *facts) []Finding {
	name := x.node.Name
	switch {
	case !x.onTailnet() || name == "":
		return nil
	case x.network != nil && !x.network.MagicDNS:
		return []Finding{warn("MagicDNS is off in this tailnet: clients must use %s", x.node.Addresses[0]).
			fix("turn MagicDNS on: https://login.tailscale.com/admin/dns")}
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name+".")
	isForeign := func(a netip.Addr) bool { return !slices.Contains(x.node.Addresses, a.Unmap()) }
	switch {
	case slices.ContainsFunc(found, isForeign):
		return []Finding{fail("%s resolves to %s on this host, but the node's address is %s", name, joinAddresses(found), joinAddresses(x.node.Addresses)).
			fix("getent hosts "+name, "look for the name in /etc/hosts and in the search domains of /etc/resolv.conf")}
	case len(found) > 0:
		return []Finding{ok("%s is %s", name, joinAddresses(found))}
	case x.node.Userspace:
		return []Finding{unknown("not tried: without a network device of tailscaled, this host cannot ask MagicDNS; peers can")}
	case x.prefs != nil && !x.prefs.AcceptDNS:
		return []Finding{warn("accept-dns is off: this host does not ask MagicDNS, but peers may").fix("tailscale set --accept-dns=true")}
	}
	return []Finding{warn("%s does not resolve: %s", name, plain(err)).fix("tailscale dns status", "see https://tailscale.com/kb/1081/magicdns")}
}

// checkEgress says which resolver, proxy and exit node requests to the upstream use.
func checkEgress(_ context.Context, x *facts) []Finding {
	parts := []string{"resolver " + resolvers(), "no proxy", "no exit node"}
	if name := x.environmentProxy(); name != "" {
		parts[1] += " (" + name + " is ignored)"
	}
	if x.settings != nil && len(x.settings.Proxy.UpstreamProxies) > 0 {
		var hosts []string
		for _, p := range x.settings.Proxy.UpstreamProxies {
			hosts = append(hosts, p.Host)
		}
		parts[1] = "proxy " + strings.Join(hosts, ", then ")
	}
	if x.prefs == nil || x.prefs.ExitNode == "" {
		return []Finding{ok("%s", strings.Join(parts, ", "))}
	}
	name := x.prefs.ExitNode
	if n, found := x.find(name); found {
		name = n.Node
	}
	parts[2] = "exit node " + name
	return []Finding{warn("%s: requests to the upstream leave through that node", strings.Join(parts, ", ")).
		fix("tailscale set --exit-node=   # unless this is intended")}
}

// ignoredProxy says that the environment names a proxy for other programs, unless the configuration
// has one. The environment is this command's and, if this user may see it, the daemon's.
func (x *facts) ignoredProxy(a *attempt) []string {
	name := x.environmentProxy()
	if a.proxy != nil || name == "" {
		return nil
	}
	return []string{name + " is set in the environment, and oauth-proxyd ignores it: set proxy.upstream_proxy in " + x.File + ", if other programs on this host need a proxy"}
}

// environmentProxy returns the name of the variable with the proxy of other programs, or "". Its
// value may have a password.
func (x *facts) environmentProxy() string {
	environment := append(os.Environ(), strings.Split(procText(x.pid(), "environ"), "\x00")...)
	for _, entry := range environment {
		name, value, _ := strings.Cut(entry, "=")
		if value != "" && strings.EqualFold(name, "https_proxy") {
			return name
		}
	}
	return ""
}

// resolvers returns the name servers of resolv.conf(5).
func resolvers() string {
	content, _ := os.ReadFile("/etc/resolv.conf") // without it, 127.0.0.1 is asked
	var all []string
	for line := range strings.Lines(string(content)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "nameserver" {
			all = append(all, words[1])
		}
	}
	if len(all) == 0 {
		return "127.0.0.1 (none is configured)"
	}
	return strings.Join(all, ", ")
}
