package doctor

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/tailnet"
)

// allowLine returns access.allow with one more entry, to paste.
func allowLine(c *config.Config, more string) string {
	return "access {\n  allow = " + withEntry(c.Access.Allow, more) + "\n}"
}

// withEntry writes a list of sources with one more entry, unless it has that entry.
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

// checkAccess looks for entries of access.allow and identity.from that match no node.
func checkAccess(_ context.Context, x *facts) []Finding {
	if x.settings == nil {
		return nil
	}
	allow := x.settings.Access.Allow
	isRemote := func(s config.Source) bool { return s.Kind != config.Local }
	if x.settings.Tailscale.Required && !slices.ContainsFunc(allow, isRemote) {
		return []Finding{warn("access.allow has only \"local\": every peer of the tailnet is refused").
			fix(allowLine(x.settings, "tailnet"), "oauth-proxyd reload")}
	}
	findings := append(x.entryFindings("access.allow", allow), x.entryFindings("identity.from", x.settings.Identity.From)...)
	switch {
	case len(findings) > 0:
		return findings
	case x.network == nil && x.settings.Tailscale.Required && slices.ContainsFunc(slices.Concat(allow, x.settings.Identity.From), namesNodes):
		return []Finding{unknown("whether access.allow and identity.from match a node: tailscaled does not show the peers")}
	}
	return []Finding{ok("access.allow is %v", allow)}
}

// entryFindings reports the entries that name a node, a user or a tag, but match no node that this
// node sees.
func (x *facts) entryFindings(setting string, entries []config.Source) (findings []Finding) {
	for _, s := range entries {
		if x.network != nil && !x.mayMatch(s) {
			findings = append(findings, warn("%s has %q, which matches no node that this one sees", setting, s).
				fix("tailscale status --json   # names, users and tags as tailscaled knows them"))
		}
	}
	return findings
}

// namesNodes reports whether tailscaled's list of nodes says whom an entry matches.
func namesNodes(s config.Source) bool {
	return s.Kind == config.User || s.Kind == config.Tag || s.Kind == config.Node
}

// mayMatch reports whether an entry matches a node that this node sees, or a sender about whom
// nothing is known here.
func (x *facts) mayMatch(s config.Source) bool {
	return !namesNodes(s) || slices.ContainsFunc(x.network.Peers, func(n tailnet.Node) bool {
		return access.Admits([]config.Source{s}, n.Identity, netip.Addr{})
	})
}
