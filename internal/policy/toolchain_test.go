package policy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestOneGoEverywhere: all modules of the repository name one version of Go, which the Makefile and
// the workflows read from go.mod, and the documents name it too.
func TestOneGoEverywhere(t *testing.T) {
	want := goVersion(t, filepath.Join(moduleRoot, "go.mod"))
	modules := moduleFiles(t)
	if len(modules) < 5 {
		t.Fatalf("few modules: %q", modules)
	}
	for _, module := range modules {
		if got := goVersion(t, module); got != want {
			t.Errorf("%s: go %s, want %s as in go.mod", module, got, want)
		}
	}
	for _, document := range documents() {
		report(t, checkGoNamed(document, text(t, document), want))
	}
	for document, phrase := range map[string]string{
		"README.md":       "Go " + languageVersion(want),
		"CONTRIBUTING.md": "export GOTOOLCHAIN=go" + want,
	} {
		if !strings.Contains(text(t, document), phrase) {
			t.Errorf("%s does not say %q", document, phrase)
		}
	}
}

// TestWorkflowsBuildWithTheGoOfGoMod: setup-go and the Makefile read the same line, so that a
// release is built with the Go that it was tested with. The weekly workflow changes that line.
func TestWorkflowsBuildWithTheGoOfGoMod(t *testing.T) {
	for _, workflow := range workflows(t) {
		if workflow == ".github/workflows/weekly.yml" {
			continue
		}
		report(t, checkSetupGo(workflow, text(t, workflow)))
	}
	if !strings.Contains(text(t, "Makefile"), "\nexport GOTOOLCHAIN := go$(GO)\n") {
		t.Error("the Makefile does not name the toolchain of go.mod")
	}
}

func TestOtherGoIsSeen(t *testing.T) {
	for _, named := range []string{"with Go 1.27", "`GOTOOLCHAIN=go1.27.3`", "since 1.21"} {
		report(t, checkGoNamed("a document", named, "1.27.3"))
	}
	for _, named := range []string{"with Go 1.26", "`GOTOOLCHAIN=go1.27.2`", "Go 1.2"} {
		if len(checkGoNamed("a document", named, "1.27.3")) != 1 {
			t.Errorf("%q was not objected to", named)
		}
	}
	const step = "      - uses: actions/setup-go@x # v7\n        with:\n"
	report(t, checkSetupGo("a workflow", step+"          go-version-file: go.mod\n      - run: make\n"))
	for _, wrong := range []string{
		step + "          go-version: stable\n", "        env:\n          GOTOOLCHAIN: local\n", "      - run: go build\n",
	} {
		if len(checkSetupGo("a workflow", wrong)) != 1 {
			t.Errorf("%q was not objected to", wrong)
		}
	}
}

// checkGoNamed objects to a version of Go that is neither that of go.mod nor its language version.
func checkGoNamed(document, text, version string) []string {
	var findings []string
	for _, found := range regexp.MustCompile(`\b[Gg]o ?(1\.\d+(?:\.\d+)?)\b`).FindAllStringSubmatch(text, -1) {
		if found[1] != version && found[1] != languageVersion(version) {
			findings = append(findings, document+" names Go "+found[1]+"; go.mod has "+version)
		}
	}
	return findings
}

// checkSetupGo objects to a Go that is not from go.mod.
func checkSetupGo(workflow, text string) []string {
	var findings []string
	for step := range strings.SplitSeq(text, "\n      - ") {
		if strings.Contains(step, "actions/setup-go@") && !strings.Contains(step, "go-version-file: go.mod") {
			findings = append(findings, workflow+": setup-go does not read go.mod")
		}
	}
	if strings.Contains(text, "GOTOOLCHAIN") {
		findings = append(findings, workflow+": GOTOOLCHAIN is the Makefile's to set")
	}
	if regexp.MustCompile(`(?m)run: go `).MatchString(text) {
		findings = append(findings, workflow+": calls go and not make")
	}
	return findings
}

// languageVersion is the version without its patch.
func languageVersion(version string) string {
	return regexp.MustCompile(`^\d+\.\d+`).FindString(version)
}

// goVersion is the go line of a go.mod. With a toolchain line beside it, setup-go and the Makefile
// would differ.
func goVersion(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(content), "\ntoolchain ") {
		t.Errorf("%s has a toolchain line", file)
	}
	found := regexp.MustCompile(`(?m)^go (\d+\.\d+\.\d+)$`).FindStringSubmatch(string(content))
	if found == nil {
		t.Fatalf("%s names no version of Go with its patch", file)
	}
	return found[1]
}

// moduleFiles are the go.mod files of the repository.
func moduleFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(moduleRoot, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() && name != moduleRoot && (strings.HasPrefix(base, ".") || base == "node_modules" || base == "bin" || base == "dist") {
			return fs.SkipDir
		}
		if base == "go.mod" {
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// text is a file of the repository.
func text(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(moduleRoot, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
