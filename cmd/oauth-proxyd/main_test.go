// The tests of this package run the program as its users do: the binary itself,
// with sockets, signals, a service manager and a tailscaled around it.
//
//	main_test.go       builds the binary
//	service_test.go    one service: starting, signalling, waiting for its end
//	record_test.go     what it said, in the log and to the service manager
//	upstream_test.go   what it forwards to
//	tailscaled_test.go what it asks about the tailnet
//	client_test.go     who sends requests
//	load_test.go       who sends many
//
// All others are promises.
package main_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
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
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // they wait more than they compute
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// buildBinary builds what is tested with the tags of the test itself, so that it is
// the program that is shipped.
func buildBinary() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "op"); err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // some tests run it as nobody
		return "", err
	}
	build := exec.Command("go", "build", "-tags", buildTags(),
		"-ldflags", "-X main.version=v0.0.0-test", "-o", filepath.Join(dir, "oauth-proxyd"), ".")
	if os.Getenv("GOCOVERDIR") != "" { // make cover: the binary writes there what it went through
		build.Args = slices.Insert(build.Args, 2, "-cover", "-coverpkg=../../...")
	}
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

// go test repeats a result while the files that the tests themselves looked at are
// the same, and what the build of the binary looks at is not among them.
func TestAChangedSourceIsTestedAnew(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir("../../internal", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
