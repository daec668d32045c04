package host_test

import (
	"os"
	"strings"
	"testing"
)

// manual is the source of oauth-proxyd(8).
const manual = "../../../man/oauth-proxyd.8"

// example is a subsection of EXAMPLES.
type example struct {
	name  string
	steps []step
}

// step is one block of it. The text before the block says what to do with it.
type step struct {
	unit string // for "systemctl edit"
	file string // to write, or of the configuration: to add to
	text string // else commands, one a line
}

// examples reads those of the manual in their order.
func examples(t *testing.T) []example {
	t.Helper()
	source, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(source), "\n.Sh EXAMPLES\n")
	section, _, _ = strings.Cut(section, "\n.Sh ")
	var found []example
	for i, subsection := range strings.Split("\n"+section, "\n.Ss ") {
		name, text, _ := strings.Cut(subsection, "\n")
		if i == 0 {
			if strings.TrimSpace(subsection) != "" {
				t.Errorf("EXAMPLES begins with something that is no example: %q", subsection)
			}
			continue
		}
		found = append(found, example{name, stepsOf(text + "\n")})
	}
	return found
}

func stepsOf(text string) []step {
	var steps []step
	for {
		before, rest, found := strings.Cut(text, ".Bd -literal -offset indent\n")
		if !found {
			return steps
		}
		block, after, _ := strings.Cut(rest, ".Ed\n")
		s := step{text: block}
		for line := range strings.Lines(before) {
			if words := strings.Fields(line); strings.HasPrefix(line, ".Ic systemctl edit ") {
				s.unit = words[3]
			} else if strings.HasPrefix(line, ".Pa /") {
				s.file = words[1]
			}
		}
		steps = append(steps, s)
		text = after
	}
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

// typist is an editor of "systemctl edit" with somebody who replaces what stands between the
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
