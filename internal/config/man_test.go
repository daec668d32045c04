package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

const manual = "man/oauth-proxyd.hcl.5"

// described is what the manual says of an attribute.
type described struct {
	value string // its default; empty: none
	facts string // type, bounds and reload, such as "Duration, 10ms to 5m; reloadable."
}

// The manual describes each block and each attribute of the schema, and no other, with its type,
// default and bounds, and whether a reload applies it.
func TestManualMatchesSchema(t *testing.T) {
	got := manualAttributes(t)
	want := map[string]described{}
	for _, a := range schema(Default()) {
		want[a.path] = manualOf(a)
	}
	for _, path := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[path]; !ok {
			t.Errorf("%s is described and does not exist", path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if got[path] != want[path] {
			t.Errorf("%s: the manual says %q, the schema %q", path, got[path], want[path])
		}
	}
}

// manualOf is what the manual must say of an attribute.
func manualOf(a attribute) described {
	var d described
	if value := a.get(); !strings.HasPrefix(a.path, "header.") || value != `""` {
		d.value = value
	}
	d.facts = typeName(a)
	if bounds := boundsOf(a); bounds != "" {
		d.facts += ", " + bounds
	}
	if a.restart {
		d.facts += "; needs a restart."
	} else {
		d.facts += "; reloadable."
	}
	return d
}

func typeName(a attribute) string {
	switch a.kind {
	case cty.Number:
		return "Number"
	case cty.Bool:
		return "Boolean"
	case listKind():
		return "List of strings"
	}
	switch bounds := boundsOf(a); {
	case strings.HasSuffix(bounds, "B"):
		return "Size"
	case bounds != "":
		return "Duration"
	default:
		return "String"
	}
}

// The manual and the example name each word that an attribute takes, such as the modes of a header.
func TestDocumentsNameEachChoice(t *testing.T) {
	page := strings.ReplaceAll(rootFile(t, manual), `\(dq`, `"`)
	checked := 0
	for _, a := range schema(Default()) {
		_, item, _ := strings.Cut(page, "\n.It Va "+ownName(a)+" ")
		item, _, _ = strings.Cut(item, "\n.It Va ")
		comment := commentAbove(rootFile(t, example), ownName(a))
		for _, word := range choices(a) {
			checked++
			if !strings.Contains(item, word) || !strings.Contains(comment, word) {
				t.Errorf("%s: %s is not in the manual or not in the example", a.path, word)
			}
		}
	}
	if checked != 17 {
		t.Errorf("%d words are checked, 17 are known", checked)
	}
}

// choices reads the words that an attribute takes, in quotes, from the fault for another.
func choices(a attribute) []string {
	faults := []fault{{}}
	if a.kind == cty.String {
		faults = append(faults, a.set(cty.StringVal("unknown"))...)
	}
	list, isList := strings.CutSuffix(faults[len(faults)-1].summary, `, not "unknown"`)
	if !isList {
		return nil
	}
	return regexp.MustCompile(`"\w+"`).FindAllString(list, -1)
}

// manualAttributes reads the items of the manual, each below the heading of its block.
func manualAttributes(t *testing.T) map[string]described {
	t.Helper()
	all := map[string]described{}
	in := block{}
	item := regexp.MustCompile(`^\.It Va (\w+)(?: Li = (.*))?$`)
	lines := strings.Split(rootFile(t, manual), "\n")
	for i, line := range lines {
		if name, ok := strings.CutPrefix(line, ".Ss "); ok {
			in.path = name
		}
		if found := item.FindStringSubmatch(line); found != nil {
			path := in.in(found[1])
			if _, twice := all[path]; twice {
				t.Errorf("%s is described twice", path)
			}
			all[path] = described{strings.ReplaceAll(found[2], `\(dq`, `"`), lines[i+1]}
		}
	}
	return all
}
