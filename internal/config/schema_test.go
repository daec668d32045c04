package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

// rootFile is a file that the package ships.
func rootFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

const (
	shipped = "etc/oauth-proxyd.hcl"
	example = "docs/oauth-proxyd.hcl.example"
)

// The shipped file and the example both say the defaults and the one rule.
func TestShippedFiles(t *testing.T) {
	want := Default()
	want.Headers = []Header{{
		Name: "Anthropic-Beta", Value: "oauth-2025-04-20", Mode: ModeMerge,
		When: When{BearerPrefix: "sk-ant-oat"},
	}}
	for _, path := range []string{shipped, example} {
		got, err := Parse(path, []byte(rootFile(t, path)))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s differs from the defaults: %+v", path, Diff(want, got))
		}
	}
	if n := strings.Count(rootFile(t, shipped), "\n"); n > 15 {
		t.Errorf("%s has %d lines: it is to be about a dozen", shipped, n)
	}
}

// shippedText is the shipped file as administrators have it since version 1.
const shippedText = `# Configuration of oauth-proxyd. Settings that are not here have their defaults:
# see oauth-proxyd.hcl(5), or all settings with comments in
# /usr/share/doc/oauth-proxyd/oauth-proxyd.hcl.example. To apply a change:
#   oauth-proxyd check && systemctl reload oauth-proxyd

# Without this, Anthropic rejects the OAuth token of a subscription.
header "anthropic-beta" {
  value = "oauth-2025-04-20"
  mode  = "merge" # adds it to the client's own list
  when {
    bearer_prefix = "sk-ant-oat"
  }
}
`

// A changed conffile stops unattended upgrades: only a new major version may have one.
func TestShippedFileIsUnchanged(t *testing.T) {
	if got := rootFile(t, shipped); got != shippedText {
		t.Errorf("%s is\n%s", shipped, got)
	}
}

// The example names every attribute and block of the schema, once, in its order and with nothing
// else, and says of each whether it is reloadable.
func TestExampleIsComplete(t *testing.T) {
	text := rootFile(t, example)
	var got []string
	for _, found := range regexp.MustCompile(`(?m)^ *(?:# )?([a-z_]+)(?: "[a-z-]+")? (?:=|\{$)`).FindAllStringSubmatch(text, -1) {
		got = append(got, found[1])
	}
	if want := inOrder(schema(Default())); !slices.Equal(got, want) {
		t.Errorf("the example has\n%v\nthe schema\n%v", got, want)
	}
	for _, a := range schema(Default()) {
		comment := commentAbove(text, ownName(a))
		if strings.HasPrefix(a.path, "header.") {
			continue // its comment stands above the block
		}
		if a.restart != strings.Contains(comment, "needs a restart") || a.restart == strings.Contains(comment, "reloadable") {
			t.Errorf("the comment on %s says otherwise: %s", a.path, comment)
		}
	}
}

// The bounds in the example's comments are the schema's.
func TestExampleBounds(t *testing.T) {
	text := rootFile(t, example)
	checked := 0
	for _, a := range schema(Default()) {
		found := regexp.MustCompile(`(?:Duration|Size|Number), (\w+ to \w+)`).FindStringSubmatch(commentAbove(text, ownName(a)))
		if found == nil {
			continue
		}
		checked++
		if got := boundsOf(a); got != found[1] {
			t.Errorf("%s: the example says %s, the schema %s", a.path, found[1], got)
		}
	}
	if checked != 14 {
		t.Errorf("%d attributes with bounds in the example, 14 are known", checked)
	}
}

// boundsOf reads the bounds of an attribute from the fault for a value beyond them.
func boundsOf(a attribute) string {
	for _, absurd := range []cty.Value{cty.StringVal("100000h"), cty.StringVal("1000000GiB"), cty.NumberIntVal(1 << 40)} {
		if !a.accepts(absurd) {
			continue
		}
		if faults := a.set(absurd); len(faults) > 0 {
			bounds, _, _ := strings.Cut(faults[0].summary, ", not ")
			if bounds, ok := strings.CutPrefix(bounds, "must be "); ok && strings.Contains(bounds, " to ") {
				return strings.TrimPrefix(bounds, "a whole number, ")
			}
		}
	}
	return ""
}

// Every field of a Config has exactly one attribute.
func TestEveryFieldIsBound(t *testing.T) {
	fields := countFields(reflect.TypeFor[Config]()) + countFields(reflect.TypeFor[Header]()) - 1 // Name is the label
	if bound := len(schema(Default())); bound != fields {
		t.Errorf("%d attributes for %d fields", bound, fields)
	}
}

func countFields(t reflect.Type) int {
	derived := map[string]bool{"UpstreamCAs": true, "warnings": true} // of UpstreamCAFile
	n := 0
	for field := range t.Fields() {
		switch name, field := field.Name, field.Type; {
		case field.Kind() == reflect.Struct:
			n += countFields(field)
		case field != reflect.TypeFor[[]Header]() && !derived[name]:
			n++
		}
	}
	return n
}

// inOrder lists the names of blocks and attributes as the example writes them.
func inOrder(all []attribute) []string {
	var names []string
	seen := map[string]bool{}
	for _, a := range all {
		for i, c := range a.path + "." {
			if path := a.path[:i]; c == '.' && !seen[path] {
				seen[path] = true
				names = append(names, path[strings.LastIndexByte(path, '.')+1:])
			}
		}
	}
	return names
}

// ownName is the name of an attribute without those of its blocks.
func ownName(a attribute) string { return a.path[strings.LastIndexByte(a.path, '.')+1:] }

// commentAbove is the comment before the line that sets name, on one line.
func commentAbove(text, name string) string {
	found := regexp.MustCompile(`((?: *#.*\n)+) *(?:# )?` + name + ` += `).FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	return strings.Join(strings.Fields(strings.ReplaceAll(found[1], "#", " ")), " ")
}
