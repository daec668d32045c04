package config

import (
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

// Diff lists what differs from old to new, in the order of the reference: the
// values in force, not the spelling of the files. The path of a header rule
// includes its condition; a rule whose condition changed is one that went and
// one that came. The values of headers whose names speak of secrets are not
// shown. Of the file that upstream_ca_file names, the certificates that can be
// used are compared.
func Diff(old, new *Config) []Change {
	// The schema only binds fields here, and does not set them.
	changes := diffSection(schema(old), schema(new), "")
	return append(changes, diffHeaders(old.Headers, new.Headers)...)
}

func diffSection(old, new section, name string) []Change {
	if old.label != "" {
		return nil
	}
	var changes []Change
	for i, a := range old.attributes {
		was, is := a.get(), new.attributes[i].get()
		if was == is && a.content != nil && a.content() != new.attributes[i].content() {
			is += " (with other content)"
		}
		if was != is {
			changes = append(changes, Change{Path: dotted(name, a.name), Old: was, New: is, NeedsRestart: a.restart})
		}
	}
	for i, sub := range old.sections {
		changes = append(changes, diffSection(sub, new.sections[i], dotted(name, sub.name))...)
	}
	return changes
}

func diffHeaders(old, new []Header) []Change {
	var changes []Change
	for _, was := range old {
		i := slices.IndexFunc(new, was.sameRule)
		switch {
		case i < 0:
			changes = append(changes, Change{Path: was.name(), Old: was.spell()})
		case new[i] != was:
			changes = append(changes, Change{Path: was.name(), Old: was.spell(), New: new[i].spell()})
		}
	}
	for _, is := range new {
		if !slices.ContainsFunc(old, is.sameRule) {
			changes = append(changes, Change{Path: is.name(), New: is.spell()})
		}
	}
	return append(changes, diffOrder(old, new)...)
}

// diffOrder reports rules that both have, in another order: they apply one
// after the other.
func diffOrder(old, new []Header) []Change {
	var was, is []string
	for _, h := range old {
		if slices.ContainsFunc(new, h.sameRule) {
			was = append(was, h.name())
		}
	}
	for _, h := range new {
		if slices.ContainsFunc(old, h.sameRule) {
			is = append(is, h.name())
		}
	}
	if slices.Equal(was, is) {
		return nil
	}
	return []Change{{Path: "header order", Old: strings.Join(was, ", "), New: strings.Join(is, ", ")}}
}

// sameRule says whether two rules are for the same header and condition. No
// configuration holds two such.
func (h Header) sameRule(other Header) bool {
	return h.Name == other.Name && h.When == other.When
}
