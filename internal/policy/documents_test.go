package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func documents() []string {
	return []string{
		"README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/ARCHITECTURE.md", "docs/comparison.md",
		"docs/compatibility.md", "docs/configuration.md", "docs/operating.md", "docs/packages.md", "docs/privacy.md",
		"docs/recipes.md", "docs/runbook.md", "docs/several-hosts.md", "docs/teams.md", "packaging/monitoring/README.md",
	}
}

// TestDocumentsNameWhatIsThere: each file and folder that a document names, in backquotes or as a
// link, exists.
func TestDocumentsNameWhatIsThere(t *testing.T) {
	for _, document := range documents() {
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

// TestDocumentsNameWhatTheCodeHas: a name of the code that a document gives exists: in the file
// that the document gives with it, or somewhere.
func TestDocumentsNameWhatTheCodeHas(t *testing.T) {
	var code strings.Builder
	for _, name := range texts(t) {
		if strings.HasSuffix(name, ".go") {
			code.WriteString(text(t, name))
		}
	}
	has := func(source, name string) bool { return regexp.MustCompile(`\b` + name + `\b`).MatchString(source) }
	for _, document := range []string{"docs/ARCHITECTURE.md", "CONTRIBUTING.md"} {
		said := strings.Join(strings.Fields(text(t, document)), " ")
		for _, found := range regexp.MustCompile("`(\\w+)`,? (?:(?:of|in) |\\()`((?:internal|cmd)/[\\w/.-]+)`").FindAllStringSubmatch(said, -1) {
			if !has(text(t, found[2]), found[1]) {
				t.Errorf("%s names %s in %s, which does not have it", document, found[1], found[2])
			}
		}
		for _, found := range regexp.MustCompile("`(\\w*[a-z][A-Z]\\w*)`").FindAllStringSubmatch(said, -1) {
			if !has(code.String(), found[1]) {
				t.Errorf("%s names %s, which is nowhere", document, found[1])
			}
		}
	}
}

// TestLinksLeadToHeadings: a link with an anchor leads to a heading of its document.
func TestLinksLeadToHeadings(t *testing.T) {
	for _, document := range documents() {
		for _, found := range regexp.MustCompile(`\]\(([^)#:]*)#([^)]+)\)`).FindAllStringSubmatch(text(t, document), -1) {
			target := document
			if found[1] != "" {
				target = filepath.Join(filepath.Dir(document), found[1])
			}
			if !slices.Contains(anchors(text(t, target)), found[2]) {
				t.Errorf("%s: %s has no heading for #%s", document, target, found[2])
			}
		}
	}
}

// anchors are the headings of a document as GitHub makes anchors of them.
func anchors(text string) []string {
	var all []string
	for _, found := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		plain := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(found[1]), "")
		all = append(all, strings.ReplaceAll(plain, " ", "-"))
	}
	return all
}

// TestDocumentsNameTargetsThatAreThere: each "make target" of a document or of a workflow is one of
// the Makefile.
func TestDocumentsNameTargetsThatAreThere(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(moduleRoot, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range append(documents(), workflows(t)...) {
		text, err := os.ReadFile(filepath.Join(moduleRoot, document))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile("(?m)(?:`|: |^)make ([a-z]+(?:-[a-z]+)*)").FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(string(makefile), "\n"+found[1]+":") {
				t.Errorf("%s names make %s, which is not there", document, found[1])
			}
		}
	}
}

// TestDryRunRunsNothing: make -n runs each recipe line that names MAKE, with the rest of the line.
func TestDryRunRunsNothing(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(moduleRoot, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range regexp.MustCompile(`(?m)^\t.*\$[({]MAKE[)}].*`).FindAllString(string(makefile), -1) {
		t.Errorf("use $(AGAIN): %s", line)
	}
}

// TestActionsArePinned: what a workflow uses of others is named by its commit, and no workflow may
// write unless a job says so.
func TestActionsArePinned(t *testing.T) {
	for _, workflow := range workflows(t) {
		text, err := os.ReadFile(filepath.Join(moduleRoot, workflow))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`uses: (\S+)(.*)`).FindAllStringSubmatch(string(text), -1) {
			ours := strings.HasPrefix(found[1], "./")
			if !ours && !regexp.MustCompile(`@[0-9a-f]{40}$`).MatchString(found[1]) || !ours && !strings.Contains(found[2], "# v") {
				t.Errorf("%s: %s is not pinned to a commit, with its version behind it", workflow, found[1])
			}
		}
		if !strings.Contains(string(text), "\npermissions:\n  contents: read\n\n") {
			t.Errorf("%s does not begin with the permission to read alone", workflow)
		}
	}
}

func workflows(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(moduleRoot, ".github/workflows/*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("workflows: %q, %v", files, err)
	}
	for i, file := range files {
		files[i] = filepath.Join(".github/workflows", filepath.Base(file))
	}
	return files
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

// TestRequestPictureNamesFilesThatAreThere: they are of package proxy, or have the folder of
// another before them.
func TestRequestPictureNamesFilesThatAreThere(t *testing.T) {
	text, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	_, picture, _ := strings.Cut(string(text), "```mermaid\nflowchart TB\n")
	picture, _, _ = strings.Cut(picture, "```\n")
	names := regexp.MustCompile(`[\w/]+\.go\b`).FindAllString(picture, -1)
	if len(names) < 10 {
		t.Fatalf("few files in the picture of a request: %q", names)
	}
	for _, name := range names {
		folder := "internal/proxy"
		if strings.Contains(name, "/") {
			folder = "internal"
		}
		if _, err := os.Stat(filepath.Join(moduleRoot, folder, name)); err != nil {
			t.Errorf("the picture of a request names %s, which is not there", name)
		}
	}
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
