package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/systemd"
)

// KeptOut holds the allow lists against the IP filters of the socket units on this host: it names
// the entries whose packets a filter drops, and a filter that is not in force. It finds nothing
// where systemd or its unit of the daemon is not there.
func KeptOut(ctx context.Context, c *config.Config) []Finding {
	ctx, cancel := context.WithTimeout(ctx, shortLimit)
	defer cancel()
	u, err := askUnits(ctx)
	if err != nil || !u.installed() {
		return nil
	}
	return u.keptOut(c)
}

func checkFilter(_ context.Context, x *facts) []Finding {
	if x.settings == nil || !x.units.installed() {
		return nil
	}
	findings := x.units.keptOut(x.settings)
	if len(findings) == 0 && len(x.units.filtered()) > 0 {
		return []Finding{ok("only this host, the tailnet and what IPAddressAllow= names get a packet in")}
	}
	return findings
}

func (u units) keptOut(c *config.Config) []Finding {
	var findings []Finding
	for _, s := range u.filtered() {
		if s.Filter.Lost {
			findings = append(findings, warn("IPAddressDeny= of %s is not active: this kernel or container has no BPF for control groups; "+
				"only the allow lists refuse other hosts", s.Name).fix("on a host of your own: boot with systemd.unified_cgroup_hierarchy=1, or use a firewall"))
		}
	}
	findings = append(findings, u.listFindings("access.allow", c.Access.Allow)...)
	return append(findings, u.listFindings("metrics.allow", c.Metrics.Allow)...)
}

func (u units) listFindings(name string, sources []config.Source) []Finding {
	var findings []Finding
	for _, s := range sources {
		if s.Kind == config.CIDR {
			findings = append(findings, u.prefixFindings(name, s.Prefix)...)
		}
	}
	return findings
}

// filtered are the TCP sockets with a filter; none if another has no filter, because everybody
// comes in there.
func (u units) filtered() []systemd.Unit {
	var all []systemd.Unit
	for _, s := range append([]systemd.Unit{u.socket}, u.others...) {
		switch {
		case len(s.Listen) == 0:
		case len(s.Filter.Deny) == 0:
			return nil
		default:
			all = append(all, s)
		}
	}
	return all
}

func (u units) prefixFindings(list string, p netip.Prefix) []Finding {
	sockets := u.filtered()
	if len(sockets) == 0 || slices.ContainsFunc(sockets, func(s systemd.Unit) bool { return s.Filter.Admits(p) }) {
		return nil
	}
	how := "is kept out"
	if slices.ContainsFunc(sockets, func(s systemd.Unit) bool { return s.Filter.AdmitsSome(p) }) {
		how = "is kept out in part"
	}
	return []Finding{warn("%s: %q %s by IPAddressDeny= of %s", list, p.String(), how, sockets[0].Name).
		fix(fmt.Sprintf("systemctl edit %s   # with these lines; they apply at once:", sockets[0].Name),
			fmt.Sprintf("[Socket]\nIPAddressAllow=%s", p))}
}
