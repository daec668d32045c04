package policy

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

const architecture = moduleRoot + "/docs/ARCHITECTURE.md"

// TestPackagePicture holds the picture of the packages to their imports. POLICY_REWRITE=1 redraws
// it.
func TestPackagePicture(t *testing.T) {
	drawn := drawPackages(loadModule(t))
	text, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), "```mermaid\nflowchart TD\n")
	_, after, ended := strings.Cut(rest, "```\n")
	if !found || !ended {
		t.Fatal("there is no picture of the packages, a Mermaid flowchart TD")
	}
	redrawn := before + "```mermaid\nflowchart TD\n" + drawn + "```\n" + after
	if redrawn == string(text) {
		return
	}
	if os.Getenv("POLICY_REWRITE") == "" {
		t.Fatalf("the picture of the packages is out of date; it should be\n%s", drawn)
	}
	if err := os.WriteFile(architecture, []byte(redrawn), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestPackagesHaveImportRules: each package is restricted by .golangci.yml.
func TestPackagesHaveImportRules(t *testing.T) {
	settings, err := os.ReadFile(moduleRoot + "/.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range loadModule(t) {
		rule := "files: ['**/" + s.dir() + "/*.go', '!$test']"
		if !s.isTest() && !testsOnly(s.dir()) && !strings.Contains(string(settings), rule) {
			t.Errorf("%s: .golangci.yml has no depguard rule with %q", s.path, rule)
		}
	}
}

// testsOnly reports whether a package has nothing but a manual and tests.
func testsOnly(dir string) bool { return dir == "packaging" || dir == "internal/policy" }

// drawPackages has an arrow for each import of one of our packages by another.
func drawPackages(all []source) string {
	nodes, arrows := map[string]bool{}, map[string]bool{}
	for _, s := range all {
		if s.isTest() || testsOnly(s.dir()) {
			continue
		}
		nodes[fmt.Sprintf("    %s[%s]\n", node(s.dir()), s.dir())] = true
		for _, spec := range s.file.Imports {
			if imported, ours := strings.CutPrefix(spec.Path.Value, `"`+moduleName+"/"); ours {
				arrows[fmt.Sprintf("    %s --> %s\n", node(s.dir()), node(strings.Trim(imported, `"`)))] = true
			}
		}
	}
	return strings.Join(append(slices.Sorted(maps.Keys(nodes)), slices.Sorted(maps.Keys(arrows))...), "")
}

// node is the name of a package within the picture. That of the command has a character that
// Mermaid could take for an arrow.
func node(dir string) string { return strings.ReplaceAll(path.Base(dir), "-", "_") }
