package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const compatibility = moduleRoot + "/docs/compatibility.md"

// proof is a test that docs/compatibility.md names, with its file.
type proof struct{ test, file string }

// proofs are the tests of one row of a table.
func proofs(row string) []proof {
	var all []proof
	for _, found := range regexp.MustCompile("`(Test\\w+)` in `([\\w./-]+_test\\.go)`").FindAllStringSubmatch(row, -1) {
		all = append(all, proof{found[1], found[2]})
	}
	return all
}

// rows are the rows of a document's tables, without headings.
func rows(document string) []string {
	var all []string
	lines := strings.Split(document, "\n")
	for i, line := range lines {
		heading := i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|---")
		if strings.HasPrefix(line, "| ") && !heading {
			all = append(all, line)
		}
	}
	return all
}

// TestCompatibilityIsProved: each row of docs/compatibility.md names a test, and each of those is
// in the file that the row says.
func TestCompatibilityIsProved(t *testing.T) {
	for _, row := range compatibilityRows(t) {
		named := proofs(row)
		if len(named) == 0 || len(named) != strings.Count(row, "`Test") {
			t.Errorf("this row names no test with its file, or one without: %s", row)
		}
		for _, p := range named {
			text, err := os.ReadFile(filepath.Join(moduleRoot, p.file))
			if err != nil || !strings.Contains(string(text), "\nfunc "+p.test+"(t *testing.T)") {
				t.Errorf("docs/compatibility.md names %s in %s, which is not there", p.test, p.file)
			}
		}
	}
}

// TestProofsOfCompatibilityAreNamed: each test that exists for the document's sake is in it.
func TestProofsOfCompatibilityAreNamed(t *testing.T) {
	var named []string
	for _, row := range compatibilityRows(t) {
		for _, p := range proofs(row) {
			named = append(named, p.test)
		}
	}
	for _, file := range []string{
		"internal/proxy/compatibility_test.go", "internal/proxy/contract_test.go",
		"internal/lab/gateway/message_test.go", "internal/lab/gateway/errors_test.go", "internal/lab/gateway/claude_test.go",
	} {
		text, err := os.ReadFile(filepath.Join(moduleRoot, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`).FindAllStringSubmatch(string(text), -1) {
			if !slices.Contains(named, found[1]) {
				t.Errorf("docs/compatibility.md does not name %s in %s", found[1], file)
			}
		}
	}
}

func compatibilityRows(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(compatibility)
	if err != nil {
		t.Fatal(err)
	}
	all := rows(string(text))
	if len(all) < 30 {
		t.Fatalf("docs/compatibility.md has only %d rows", len(all))
	}
	return all
}

func TestRowsAndProofsAreSeen(t *testing.T) {
	got := rows("text\n\n| asks | proof |\n|---|---|\n| a | `TestA` in `b/c_test.go`, `TestB` in `d_test.go` |\n| e | none |\n")
	if len(got) != 2 {
		t.Fatalf("rows: %q", got)
	}
	if want := []proof{{"TestA", "b/c_test.go"}, {"TestB", "d_test.go"}}; !slices.Equal(proofs(got[0]), want) || proofs(got[1]) != nil {
		t.Errorf("proofs: %q, %q", proofs(got[0]), proofs(got[1]))
	}
}
