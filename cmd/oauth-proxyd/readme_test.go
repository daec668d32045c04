package main_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// readme shows what the program prints.
const readme = "../../README.md"

// fenced returns the block of a document that begins with a line.
func fenced(t *testing.T, document, first string) string {
	t.Helper()
	_, after, found := strings.Cut(read(t, document), "```\n"+first)
	text, _, ended := strings.Cut(after, "```\n")
	if !found || !ended {
		t.Fatalf("%s has no block that begins with %q", document, first)
	}
	return first + text
}

func TestReadmeDemo(t *testing.T) {
	t.Parallel()
	s := runDemo(t, "--listen", "127.0.0.1:0")
	s.stdout.Next(t, "To see the log")
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`)
	printed := address.ReplaceAllString(strings.TrimSpace(s.stdout.Text()), "127.0.0.1:43210")
	if shown := fenced(t, readme, "$ oauth-proxyd demo\n"); shown != "$ oauth-proxyd demo\n"+printed+"\n" {
		t.Errorf("the README shows\n%s\nand the demo prints\n%s", shown, printed)
	}
}

// Readers who do not need the program must learn that first, and nobody may take the program for a
// way around a login.
func TestReadmeSaysWhatToTryFirst(t *testing.T) {
	t.Parallel()
	before, _, found := strings.Cut(read(t, readme), "\n## ")
	text := strings.Join(strings.Fields(before), " ")
	for _, said := range []string{
		"Try your gateway's own settings first; in Aperture, these are [`passthrough`](https://tailscale.com/docs/aperture/how-to/use-passthrough-mode) and `add_headers`.",
		"the supported use is each developer's own login in unmodified Claude Code; SDKs and scripts use API keys",
	} {
		if !found || !strings.Contains(text, said) {
			t.Errorf("before the first heading it does not say: %s", said)
		}
	}
}

// The output in the README is a recording that cannot be repeated, but its rows must be those of
// status, in their order.
func TestReadmeStatus(t *testing.T) {
	t.Parallel()
	rows := inSources(t, `p\.row\("([a-z ]+)"`, ".")
	last := -1
	for _, label := range submatches(`(?m)^([a-z]+(?: [a-z]+)?) {2,}\S`, fenced(t, readme, "$ oauth-proxyd status\n")) {
		i := slices.Index(rows, label)
		if i <= last {
			t.Errorf("%q is no row, or out of order in %q", label, rows)
		}
		last = i
	}
	if last < 0 {
		t.Error("no row is seen")
	}
}
