package proxy

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// The manual has an entry for each code and no other, with its status and type.
func TestManualDescribesEveryCode(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "man", "oauth-proxyd.8"))
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]string{}
	for _, found := range regexp.MustCompile(`(?m)^\.It Li (\w+) No , (\d+) , Li (\w+)$`).FindAllStringSubmatch(string(text), -1) {
		described[found[1]] = found[2] + " " + found[3]
	}
	for c, row := range codeTable {
		if got, want := described[string(c)], strconv.Itoa(row.status)+" "+row.apiType; got != want {
			t.Errorf("%s: the manual says %q, the code %q", c, got, want)
		}
		delete(described, string(c))
	}
	for code := range described {
		t.Errorf("%s is described and does not exist", code)
	}
}

// The runbook names every code.
func TestRunbookNamesEveryCode(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "runbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	for code := range codeTable {
		if !regexp.MustCompile("(?m)^\\| `" + string(code) + "` \\| ").Match(text) {
			t.Errorf("docs/runbook.md has no row for %s", code)
		}
	}
}
