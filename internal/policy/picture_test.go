package policy

import (
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
)

const architecture = moduleRoot + "/docs/ARCHITECTURE.md"

// TestPackagePicture holds the picture of the packages to the table of imports, which
// TestHouseRules holds to the imports. POLICY_REWRITE=1 draws it anew.
func TestPackagePicture(t *testing.T) {
	text, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), "```mermaid\nflowchart TD\n")
	_, after, ended := strings.Cut(rest, "```\n")
	if !found || !ended {
		t.Fatal("there is no picture of the packages, a Mermaid flowchart TD")
	}
	redrawn := before + "```mermaid\nflowchart TD\n" + drawPackages() + "```\n" + after
	if redrawn == string(text) {
		return
	}
	if os.Getenv("POLICY_REWRITE") == "" {
		t.Fatalf("the picture of the packages is not that of imports_test.go, which is\n%s", drawPackages())
	}
	if err := os.WriteFile(architecture, []byte(redrawn), 0o644); err != nil {
		t.Fatal(err)
	}
}

// drawPackages has an arrow for each import of ours that is not for tests alone.
func drawPackages() string {
	var picture strings.Builder
	for _, dir := range packages() {
		fmt.Fprintf(&picture, "    %s[%s]\n", node(dir), dir)
	}
	for _, p := range permissions() {
		imported, ours := strings.CutPrefix(p.imports, moduleName+"/")
		if ours && !p.testsOnly {
			fmt.Fprintf(&picture, "    %s --> %s\n", node(p.dir), node(imported))
		}
	}
	return picture.String()
}

// node is the name of a package within the picture. That of the command has a
// character that Mermaid could take for an arrow.
func node(dir string) string { return strings.ReplaceAll(path.Base(dir), "-", "_") }
