package proxy

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// The manual has an entry for each code and no other, with its status.
func TestManualDescribesEveryCode(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "man", "oauth-proxyd.8"))
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]string{}
	for _, found := range regexp.MustCompile(`(?m)^\.It Li (\w+) No , (\d+)$`).FindAllStringSubmatch(string(text), -1) {
		described[found[1]] = found[2]
	}
	for _, c := range codes() {
		if got, want := described[string(c)], strconv.Itoa(c.status()); got != want {
			t.Errorf("%s: the manual says status %q, the code %q", c, got, want)
		}
		delete(described, string(c))
	}
	for code := range described {
		t.Errorf("%s is described and does not exist", code)
	}
}

// Beside the manual, the README and the runbook name every code.
func TestDocumentsNameEveryCode(t *testing.T) {
	t.Parallel()
	for _, document := range []string{"README.md", "docs/runbook.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", document))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range codes() {
			if !regexp.MustCompile("`" + string(c) + "`").Match(text) {
				t.Errorf("%s does not name %s", document, c)
			}
		}
	}
}
