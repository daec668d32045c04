package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/tailnet"
)

// checkServe looks for "tailscale serve" and Funnel in front of our port.
func checkServe(ctx context.Context, x *facts) []Finding {
	port := x.port()
	if !x.onTailnet() || port == 0 {
		return nil
	}
	served, err := x.client.Published(ctx)
	if err != nil {
		return []Finding{unknown("%v", err)}
	}
	x.served = served
	var findings []Finding
	for _, p := range served {
		if x.leadsToUs(p, port) {
			findings = append(findings, x.publishedFinding(p))
		}
	}
	if len(findings) == 0 {
		return []Finding{ok("neither tailscale serve nor Funnel leads to port %d", port)}
	}
	return findings
}

func (x *facts) publishedFinding(p tailnet.Published) Finding {
	from := fmt.Sprintf("%s port %d", p.Scheme, p.Port)
	switch {
	case p.Funnel:
		return fail("Funnel opens us to the whole internet: %s leads to %s", from, p.Target).
			fix(fmt.Sprintf("tailscale funnel --%s=%d off", p.Scheme, p.Port))
	case x.settings != nil && !slices.ContainsFunc(x.settings.Access.Allow, func(s config.Source) bool { return s.Kind == config.Proxied }):
		return warn("tailscale serve leads %s to us, and access.allow has no \"proxied\": its requests are refused", from).
			fix(allowLine(x.settings, "proxied"), "oauth-proxyd reload", fmt.Sprintf("or: tailscale serve --%s=%d off", p.Scheme, p.Port))
	}
	return ok("tailscale serve leads %s to us", from)
}

// isServed is what leads to port, nil for nothing.
func (x *facts) isServed(port uint16) *tailnet.Published {
	for i, p := range x.served {
		if x.leadsToUs(p, port) {
			return &x.served[i]
		}
	}
	return nil
}

func (x *facts) leadsToUs(p tailnet.Published, port uint16) bool {
	host, to, ok := p.Leads()
	if !ok || to != port {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && (addr.IsLoopback() || addr.IsUnspecified() || slices.Contains(x.node.Addresses, addr))
}

// allowLine is the setting with one more entry, to paste.
func allowLine(c *config.Config, more string) string {
	return "access {\n  allow = " + withEntry(c.Access.Allow, more) + "\n}"
}

// withEntry is a list of sources with one more entry, unless it is there.
func withEntry(list []config.Source, more string) string {
	entries, added := make([]string, 0, len(list)+1), strconv.Quote(more)
	for _, s := range list {
		entries = append(entries, strconv.Quote(s.String()))
	}
	if !slices.Contains(entries, added) {
		entries = append(entries, added)
	}
	return "[" + strings.Join(entries, ", ") + "]"
}

// checkAccess looks for entries of access.allow and identity.from that match nobody.
func checkAccess(_ context.Context, x *facts) []Finding {
	if x.settings == nil {
		return nil
	}
	allow := x.settings.Access.Allow
	var findings []Finding
	remote := false
	for _, s := range allow {
		remote = remote || s.Kind != config.Local
		if f, found := x.entryFinding("access.allow", s); found {
			findings = append(findings, f)
		}
	}
	for _, s := range x.settings.Identity.From {
		if f, found := x.entryFinding("identity.from", s); found {
			findings = append(findings, f)
		}
	}
	switch {
	case !remote && x.settings.Tailscale.Required:
		return []Finding{warn("access.allow has only \"local\": every peer of the tailnet is refused").
			fix(allowLine(x.settings, "tailnet"), "oauth-proxyd reload")}
	case len(findings) > 0:
		return findings
	}
	return []Finding{ok("allowed: %v", allow)}
}

// entryFinding reports that an entry names somebody whom this node does not see, or that this
// cannot be known.
func (x *facts) entryFinding(setting string, s config.Source) (f Finding, found bool) {
	switch named := s.Kind == config.User || s.Kind == config.Tag || s.Kind == config.Node; {
	case !named, x.network == nil && !x.settings.Tailscale.Required: // checkConfig warns of the latter
		return f, false
	case x.network == nil:
		return unknown("whether %q is a node of the tailnet: tailscaled does not show its peers", s), true
	case slices.ContainsFunc(x.network.Peers, func(n tailnet.Node) bool { return access.Admits([]config.Source{s}, x.identity(n), netip.Addr{}) }):
		return f, false
	}
	return warn("%s has %q, and it is none of the %d nodes that this one sees", setting, s, len(x.network.Peers)).
		fix("tailscale status --json   # names, users and tags as tailscaled knows them"), true
}
