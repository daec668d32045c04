package policy

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rule looks at one file and returns what it objects to.
type rule struct {
	name  string
	check func(source) []string
}

func rules() []rule {
	return []rule{
		{"imports", checkImports},
		{"variables", checkVariables},
		{"init", checkInit},
		{"exit", checkExit},
		{"size", checkSize},
		{"format", checkFormat},
		{"marks", checkMarks},
		{"skips", checkSkips},
		{"docs", checkDocs},
		{"file names", checkFileNames},
	}
}

func TestHouseRules(t *testing.T) {
	all := loadModule(t)
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			for _, s := range all {
				report(t, r.check(s))
			}
		})
	}
	t.Run("package comments", func(t *testing.T) { report(t, checkPackageComments(all)) })
	t.Run("links", func(t *testing.T) { report(t, checkLinks(all)) })
	t.Run("import table", func(t *testing.T) {
		report(t, checkTable(permissions(), packages()))
		report(t, checkUse(permissions(), all))
	})
}

// TestModuleIsSeen proves that the walk finds files of a test and of none.
func TestModuleIsSeen(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range loadModule(t) {
		seen[s.path] = true
		if strings.HasPrefix(s.path, "tools/") || strings.Contains(s.path, "testdata/") {
			t.Errorf("%s is not of this module", s.path)
		}
	}
	for _, path := range []string{"internal/policy/doc.go", "internal/policy/policy_test.go"} {
		if !seen[path] {
			t.Errorf("%s was not read", path)
		}
	}
}

func report(t *testing.T, findings []string) {
	t.Helper()
	for _, finding := range findings {
		t.Error(finding)
	}
}
