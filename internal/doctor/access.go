package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
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
		return warn("tailscale serve leads %s to us, and access.allow has no \"proxied\": who comes that way is refused", from).
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
	entries := make([]string, 0, len(c.Access.Allow)+1)
	for _, s := range c.Access.Allow {
		entries = append(entries, fmt.Sprintf("%q", s.String()))
	}
	entries = append(entries, fmt.Sprintf("%q", more))
	return "access {\n  allow = [" + strings.Join(entries, ", ") + "]\n}"
}

// checkAccess looks for entries of access.allow that nobody fulfils.
func checkAccess(_ context.Context, x *facts) []Finding {
	if x.settings == nil {
		return nil
	}
	allow := x.settings.Access.Allow
	var findings []Finding
	remote := false
	for _, s := range allow {
		remote = remote || s.Kind != config.Local
		if f, found := x.entryFinding(s); found {
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
	return []Finding{ok("%s", spellAllow(allow))}
}

func spellAllow(allow []config.Source) string {
	texts := make([]string, len(allow))
	for i, s := range allow {
		texts[i] = s.String()
	}
	return "allowed: " + strings.Join(texts, ", ")
}

// entryFinding reports that nobody fulfils an entry that names somebody, or that this cannot be
// known.
func (x *facts) entryFinding(s config.Source) (f Finding, found bool) {
	switch named := s.Kind == config.User || s.Kind == config.Tag || s.Kind == config.Node; {
	case !named:
		return f, false
	case x.network == nil:
		return unknown("whether anybody fulfils %q: tailscaled was not asked for its peers", s), true
	case slices.ContainsFunc(x.network.Peers, func(n tailnet.Node) bool { return access.Admits([]config.Source{s}, x.identity(n), netip.Addr{}) }):
		return f, false
	}
	return warn("access.allow has %q, and none of the %d nodes that this one sees fulfils it", s, len(x.network.Peers)).
		fix(x.entryFix(s)...), true
}

// entryFix looks for the entry that may be meant.
func (x *facts) entryFix(s config.Source) []string {
	lines := []string{"tailscale status --json   # names, users and tags as tailscaled knows them"}
	if s.Kind == config.Node {
		for _, n := range x.network.Find(s.Value) {
			lines = append([]string{fmt.Sprintf("write %q", "node:"+n.Name)}, lines...)
		}
	}
	return lines
}
