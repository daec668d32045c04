package config_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/term"
)

// Each file in testdata/bad is refused with exactly the text beside it. Run with UPDATE_GOLDEN=1 to
// write the texts, and read what changed.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".hcl"), func(t *testing.T) {
			got := refusal(t, file)
			golden := strings.TrimSuffix(file, ".hcl") + ".txt"
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// refusal is the text for a file that must be refused, in which no credential of the fixtures may
// appear.
func refusal(t *testing.T, file string) []byte {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = config.Parse(filepath.Base(file), src)
	bad := asError(t, err)
	var text bytes.Buffer
	bad.Print(term.Printer{Out: &text, Width: 80})
	for _, out := range []string{text.String(), bad.Error()} {
		if strings.Contains(out, "hunter2") || strings.Contains(out, "hun/") {
			t.Errorf("a credential shows:\n%s", out)
		}
	}
	return text.Bytes()
}

func asError(t *testing.T, err error) *config.Error {
	t.Helper()
	bad, ok := errors.AsType[*config.Error](err)
	if !ok {
		t.Fatalf("error is %T (%v), want *config.Error", err, err)
	}
	if len(bad.Diagnostics()) == 0 {
		t.Fatal("an error without diagnostics")
	}
	return bad
}
