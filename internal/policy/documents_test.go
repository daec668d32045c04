package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentsNameWhatIsThere: each file and folder that a document names, in
// backquotes or as a link, exists.
func TestDocumentsNameWhatIsThere(t *testing.T) {
	for _, document := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/ARCHITECTURE.md", "docs/runbook.md"} {
		text, err := os.ReadFile(filepath.Join(moduleRoot, document))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range append(quotedPaths(string(text)), linkedPaths(string(text), filepath.Dir(document))...) {
			if _, err := os.Stat(filepath.Join(moduleRoot, path)); err != nil {
				t.Errorf("%s names %s, which is not there", document, path)
			}
		}
	}
}

// quotedPaths are relative to the module's root.
func quotedPaths(text string) []string {
	var paths []string
	for _, found := range regexp.MustCompile("`([\\w./-]+)`").FindAllStringSubmatch(text, -1) {
		top, _, nested := strings.Cut(found[1], "/")
		if _, err := os.Stat(filepath.Join(moduleRoot, top)); nested && top != "" && err == nil {
			paths = append(paths, found[1])
		}
	}
	return paths
}

// linkedPaths are relative to the document's folder.
func linkedPaths(text, dir string) []string {
	var paths []string
	for _, found := range regexp.MustCompile(`\]\(([^)#]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(found[1], ":") {
			paths = append(paths, filepath.Join(dir, found[1]))
		}
	}
	return paths
}

func TestPathsOfDocumentsAreSeen(t *testing.T) {
	const text = "In `internal/policy/doc.go` (`go.mod`, `v1/messages`), [there](runbook.md#x), not [there](https://example.com)."
	if got := quotedPaths(text); len(got) != 1 || got[0] != "internal/policy/doc.go" {
		t.Errorf("quoted: %q", got)
	}
	if got := linkedPaths(text, "docs"); len(got) != 1 || got[0] != "docs/runbook.md" {
		t.Errorf("linked: %q", got)
	}
}
