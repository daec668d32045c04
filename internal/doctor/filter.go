package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/systemd"
)

// KeptOut compares the allow lists with the IP filters of the socket units on this host. It names
// the entries whose packets a filter drops, and filters that are not active.
func KeptOut(ctx context.Context, c *config.Config) []Finding {
	return installedUnits(ctx).keptOut(c)
}

func checkFilter(_ context.Context, x *facts) []Finding {
	if x.settings == nil || !x.units.installed() {
		return nil
	}
	findings := x.units.keptOut(x.settings)
	if len(findings) == 0 && len(x.units.filtered()) > 0 {
		return []Finding{ok("systemd drops packets that do not come from this host, the tailnet or IPAddressAllow=")}
	}
	return findings
}

func (u units) keptOut(c *config.Config) []Finding {
	var findings []Finding
	for _, s := range u.filtered() {
		if s.Filter.Lost {
			findings = append(findings, warn("IPAddressDeny= of %s is not active, because this kernel or container has no BPF for control groups; "+
				"only the allow lists refuse other hosts", s.Name).fix("boot the host with systemd.unified_cgroup_hierarchy=1, or use a firewall"))
		}
	}
	for _, list := range []struct {
		name  string
		allow []config.Source
	}{{"access.allow", c.Access.Allow}, {"metrics.allow", c.Metrics.Allow}} {
		for _, s := range list.allow {
			if s.Kind == config.CIDR {
				findings = append(findings, u.prefixFindings(list.name, s.Prefix)...)
			}
		}
	}
	return findings
}

// filtered returns the TCP sockets if all have a filter, and none otherwise, because every packet
// gets in at a socket without a filter.
func (u units) filtered() []systemd.Unit {
	var all []systemd.Unit
	for _, s := range u.sockets() {
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
	return []Finding{warn("%s: IPAddressDeny= of %s drops packets from %q", list, sockets[0].Name, p.String()).
		fix(fmt.Sprintf("systemctl edit %s   # add these lines, which apply at once:", sockets[0].Name),
			fmt.Sprintf("[Socket]\nIPAddressAllow=%s", p))}
}
