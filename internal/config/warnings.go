package config

import (
	"cmp"
	"fmt"
	"slices"
)

// Warnings lists what is wrong but does not keep the configuration from being used: certificates
// that cannot be used, or not for long, sources that match nobody, and header rules that others
// undo. Each is one line, begins with the setting, and ends with what to do about it, if it can say
// so, after a semicolon.
func (c *Config) Warnings() []string {
	var all []string
	warn := func(setting, text string) {
		if text != "" {
			all = append(all, setting+": "+text)
		}
	}
	for _, text := range c.Proxy.warnings {
		warn("proxy.upstream_ca_file", text)
	}
	for _, s := range c.Identity.From {
		warn("identity.from", cmp.Or(c.notAsked(s), c.notAdmitted(s)))
	}
	if !slices.ContainsFunc(c.Access.Allow, func(s Source) bool { return c.notAsked(s) == "" }) {
		warn("access.allow", `it admits nobody, so every request is refused: `+notAskedWhy+`; add "local", or set tailscale.required = true`)
	} else {
		for _, s := range c.Access.Allow {
			warn("access.allow", c.notAsked(s))
		}
	}
	for _, s := range c.Metrics.Allow {
		warn("metrics.allow", c.notAsked(s))
	}
	for i, h := range c.Headers {
		warn(h.Rule(), h.undoneBy(c.Headers[i+1:]))
	}
	return all
}

// undoneBy is about a rule whose effect a later rule for the same header takes away: always, or
// where both apply and the rule only wants to add to the client's list.
func (h Header) undoneBy(later []Header) string {
	for _, l := range later {
		undoes := l.Name == h.Name && h.Mode != ModeRemove && (l.Mode == ModeSet || l.Mode == ModeRemove)
		switch {
		case undoes && l.When.covers(h.When):
			return fmt.Sprintf("it has no effect, because the later %s, mode %q, undoes it; delete one of them", l.Rule(), l.Mode)
		case undoes && h.Mode == ModeMerge && l.Mode == ModeSet && l.When.overlaps(h.When):
			return fmt.Sprintf(`where the later %s applies too, its mode "set" replaces what this rule adds; give that rule mode = "merge"`, l.Rule())
		}
	}
	return ""
}

// notAsked is about a source that only tailscaled can recognize.
func (c *Config) notAsked(s Source) string {
	if c.Tailscale.Required || !slices.Contains([]SourceKind{User, Tag, Node, Capability}, s.Kind) {
		return ""
	}
	return fmt.Sprintf("%q matches nobody: %s; remove it, or set tailscale.required = true", s, notAskedWhy)
}

const notAskedWhy = "with tailscale.required = false, tailscaled is not asked who a client is"

// notAdmitted is about a gateway whose requests are refused before its header is read.
func (c *Config) notAdmitted(gateway Source) string {
	if slices.ContainsFunc(c.Access.Allow, func(s Source) bool { // which may admit it
		return s == gateway || gateway.Kind != Proxied && s.Kind != Proxied && s.Kind != Local
	}) {
		return ""
	}
	return fmt.Sprintf("%q matches nobody: access.allow does not admit it; add %q there, too", gateway, gateway)
}
