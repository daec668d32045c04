package config

import (
	"bytes"
	"slices"
	"strings"
)

// Change is one difference between two configurations.
type Change struct {
	Path         string `json:"path"`          // "proxy.idle_timeout", `header "anthropic-beta"`
	Old          string `json:"old,omitempty"` // in the spelling of the file; empty: absent
	New          string `json:"new,omitempty"`
	NeedsRestart bool   `json:"needs_restart"`
}

// Diff lists the differences from old to new in the order of oauth-proxyd.hcl(5). It compares
// values, not the spelling of the files. The path of a header rule includes its condition, so a
// rule with a new condition is reported as removed and added. Values of headers with a name that
// suggests a secret are not shown.
func Diff(old, new *Config) []Change {
	var changes []Change
	after := schema(new).flatten("")
	for i, a := range schema(old).flatten("") {
		was, is := a.get(), after[i].get()
		if a.path == "proxy.upstream_ca_file" && was == is && !bytes.Equal(old.Proxy.UpstreamCAs, new.Proxy.UpstreamCAs) {
			is += " (with other certificates)"
		}
		if was != is {
			changes = append(changes, Change{Path: a.path, Old: was, New: is, NeedsRestart: a.restart})
		}
	}
	return append(changes, diffHeaders(old.Headers, new.Headers)...)
}

func diffHeaders(old, new []Header) []Change {
	var changes []Change
	for _, was := range old {
		i := slices.IndexFunc(new, was.sameRule)
		switch {
		case i < 0:
			changes = append(changes, Change{Path: was.rule(), Old: was.effect()})
		case new[i] != was:
			changes = append(changes, Change{Path: was.rule(), Old: was.effect(), New: new[i].effect()})
		}
	}
	for _, is := range new {
		if !slices.ContainsFunc(old, is.sameRule) {
			changes = append(changes, Change{Path: is.rule(), New: is.effect()})
		}
	}
	if was, is := common(old, new), common(new, old); !slices.Equal(was, is) { // rules apply one after the other
		changes = append(changes, Change{Path: "header order", Old: strings.Join(was, ", "), New: strings.Join(is, ", ")})
	}
	return changes
}

// common returns the names of the rules of list that are also in other.
func common(list, other []Header) []string {
	var names []string
	for _, h := range list {
		if slices.ContainsFunc(other, h.sameRule) {
			names = append(names, h.rule())
		}
	}
	return names
}

// sameRule reports whether two rules are for the same header and condition. A Config has no two of
// them.
func (h Header) sameRule(other Header) bool {
	return h.Name == other.Name && h.When == other.When
}
