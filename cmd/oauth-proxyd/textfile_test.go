package main_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// node_exporter would report an old file as if it were new.
func TestReloadRemovesOldTextfile(t *testing.T) {
	t.Parallel()
	dir := daemontest.TempDir(t)
	writing := func(file string) string {
		return forwarding("http://127.0.0.1:9", "", withoutTailnet,
			fmt.Sprintf("metrics {\n  textfile = %q\n  textfile_interval = \"1h\"\n}\n", filepath.Join(dir, file)))
	}
	s := start(t, unit{config: writing("one.prom")})
	for _, step := range []struct {
		config string
		code   int
		left   []string
	}{
		{writing("one.prom"), 0, []string{"one.prom"}},
		{writing("two.prom"), 0, []string{"two.prom"}},
		{"nonsense", 78, []string{"two.prom"}},
		{forwarding("http://127.0.0.1:9", "", withoutTailnet), 0, nil},
	} {
		s.configure(step.config)
		if code, _, errs := s.command("reload"); code != step.code {
			t.Fatalf("exit code %d, want %d: %s", code, step.code, errs)
		}
		daemontest.Eventually(t, fmt.Sprintf("%q is what is left", step.left), func() bool {
			found, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for i := range found {
				found[i] = filepath.Base(found[i])
			}
			return slices.Equal(found, step.left)
		})
	}
}
