package monitoring_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"testing"

	"go.uber.org/goleak"
)

// TestMain puts the binary into the PATH of all tests.
func TestMain(m *testing.M) {
	dir, err := buildBinary()
	if err != nil {
		fmt.Fprintf(os.Stderr, "building the binary: %v\n", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// buildBinary builds the program with the tags of the test itself.
func buildBinary() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "op"); err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-C", "../../..", "-tags", buildTags(),
		"-o", filepath.Join(dir, "oauth-proxyd"), "./cmd/oauth-proxyd")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return dir, os.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func buildTags() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "-tags" {
			return s.Value
		}
	}
	return ""
}
