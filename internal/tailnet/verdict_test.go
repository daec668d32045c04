package tailnet

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tailscale.com/ipn"
)

// TestStatesInRunbookAndLab and a test with a real tailscaled. A state that verdict does not name
// is not ours to handle.
func TestStatesInRunbookAndLab(t *testing.T) {
	runbook := readAll(t, "../../docs/runbook.md")
	proofs := readAll(t, "../lab/tailnet/proof/*_test.go")
	known := 0
	for state := ipn.NoState; state <= ipn.Running; state++ {
		name := state.String()
		e, ok := errors.AsType[*Error](verdict(Status{Backend: name}))
		if !ok || e.Err != nil && e.Err.Error() == "unknown state" {
			continue
		}
		known++
		row := regexp.MustCompile("(?m)^\\|.*`" + name + "`.*$").FindString(runbook)
		if row == "" {
			t.Errorf("docs/runbook.md has no row for the state %s", name)
		}
		for _, command := range regexp.MustCompile("`[^`]+`").FindAllString(e.Fix, -1) {
			if !e.Retry && !strings.Contains(row, command) {
				t.Errorf("the row of the state %s in docs/runbook.md lacks %s", name, command)
			}
		}
		if !strings.Contains(proofs, `"`+name+`"`) {
			t.Errorf("internal/lab/tailnet/proof has no test of the state %s", name)
		}
	}
	if known != 5 {
		t.Errorf("verdict names %d states that are not Running, want 5", known)
	}
}

// readAll returns the text of all files that match.
func readAll(t *testing.T, pattern string) string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no file matches %s: %v", pattern, err)
	}
	var all strings.Builder
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
