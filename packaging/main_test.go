package packaging_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// try runs a command and returns what it printed, on both of its outputs.
func try(t *testing.T, dir string, command ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Dir = dir
	c.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := c.CombinedOutput()
	return string(out), err
}

// must is try for a command that has to succeed.
func must(t *testing.T, dir string, command ...string) string {
	t.Helper()
	out, err := try(t, dir, command...)
	if err != nil {
		t.Fatalf("%q: %v; .ci/deps installs what the tests need\n%s", command, err, out)
	}
	return out
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// seen is for a file that only another program reads: go test reruns a test when a file that it
// read itself has changed.
func seen(t *testing.T, file string) string {
	t.Helper()
	read(t, file)
	return file
}

// write makes a file and the folders above it.
func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
