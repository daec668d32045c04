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
	after := schema(new)
	for i, a := range schema(old) {
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
	was, is := rules(old), rules(new)
	for i, rule := range was {
		switch at := slices.Index(is, rule); {
		case at < 0:
			changes = append(changes, Change{Path: rule, Old: old[i].Effect()})
		case new[at] != old[i]:
			changes = append(changes, Change{Path: rule, Old: old[i].Effect(), New: new[at].Effect()})
		}
	}
	for i, rule := range is {
		if !slices.Contains(was, rule) {
			changes = append(changes, Change{Path: rule, New: new[i].Effect()})
		}
	}
	was = slices.DeleteFunc(was, func(rule string) bool { return !slices.Contains(is, rule) })
	is = slices.DeleteFunc(is, func(rule string) bool { return !slices.Contains(was, rule) })
	if !slices.Equal(was, is) { // rules apply one after the other
		changes = append(changes, Change{Path: "header order", Old: strings.Join(was, ", "), New: strings.Join(is, ", ")})
	}
	return changes
}

func rules(list []Header) []string {
	var names []string
	for _, h := range list {
		names = append(names, h.Rule())
	}
	return names
}
