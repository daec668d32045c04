package host_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// recipesPage has what an operator copies and pastes.
const recipesPage = "../../../docs/recipes.md"

// example is a section of the page.
type example struct {
	name  string
	steps []step
}

// step is one block of it. The line before the block says what to do with it.
type step struct {
	unit string // for "systemctl edit"
	file string // to write, or of the configuration: to add to
	text string // else commands, one a line
}

// examples reads those of the page in their order.
func examples(t *testing.T) []example {
	t.Helper()
	page, err := os.ReadFile(recipesPage)
	if err != nil {
		t.Fatal(err)
	}
	var found []example
	for _, section := range strings.Split(string(page), "\n## ")[1:] {
		name, text, _ := strings.Cut(section, "\n")
		found = append(found, example{name, stepsOf(text)})
	}
	return found
}

func stepsOf(text string) []step {
	unit, file := regexp.MustCompile("`systemctl edit (\\S+)`"), regexp.MustCompile("`(/\\S+)`:$")
	first := func(found []string) string { return append(found, "", "")[1] }
	var steps []step
	parts := strings.Split(text, "```\n")
	for i := 1; i < len(parts); i += 2 {
		said := strings.TrimSpace(parts[i-1])
		said = said[strings.LastIndex(said, "\n\n")+1:] // the last paragraph
		steps = append(steps, step{first(unit.FindStringSubmatch(said)), first(file.FindStringSubmatch(said)), parts[i]})
	}
	return steps
}

// follow does what the example says, and returns what its commands print.
func (l *lab) follow(e example) (printed string) {
	l.t.Helper()
	if len(e.steps) == 0 {
		l.t.Fatalf("the example %q says nothing to do", e.name)
	}
	for _, s := range e.steps {
		switch {
		case s.unit != "":
			l.edit(s.unit, s.text)
		case s.file == configFile:
			l.configure("\n" + s.text)
		case s.file != "":
			l.write(s.file, s.text)
		default:
			for command := range strings.Lines(s.text) {
				printed += l.must("sh", "-c", command)
			}
		}
	}
	return printed
}

// typist is an editor of "systemctl edit" with a user who replaces what stands between the
// comments of newer versions, which discard the rest. Older ones show none.
const typist = `#!/bin/sh -eu
for file; do :; done # the last argument: newer versions put the line before it
if ! grep -q '^### Anything between' "$file"; then
	exec cp /var/tmp/typed "$file"
fi
sed -i -e '/^### Anything between/r /var/tmp/typed' \
	-e '/^### Anything between/,/^### .* below this comment/{/^###/!d}' "$file"
`

// edit runs "systemctl edit", which wants a terminal: script(1) makes one.
func (l *lab) edit(unit, text string) {
	l.t.Helper()
	l.write("/var/tmp/typed", text)
	l.write("/var/tmp/typist", typist)
	l.must("chmod", "755", "/var/tmp/typist")
	l.must("env", "SYSTEMD_EDITOR=/var/tmp/typist", "script", "--quiet", "--return", "--command", "systemctl edit "+unit, "/dev/null")
	for line := range strings.Lines(text) {
		l.wantAll(l.must("systemctl", "cat", unit), line)
	}
}
