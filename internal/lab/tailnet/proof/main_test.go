package proof_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"oauth-proxyd/internal/lab/tailnet"

	"go.uber.org/goleak"
)

// patience is how long anything may take that is to happen. A busy machine is slow.
const patience = 60 * time.Second

// TestMain puts the binary into the PATH of all tests.
func TestMain(m *testing.M) {
	dir, err := buildBinary()
	if err != nil {
		fmt.Fprintf(os.Stderr, "building the binary: %v\n", err)
		os.Exit(1)
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil { // they wait more than they compute
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// buildBinary builds the program with the tags that make says: the control server of
// the test itself does not build with them.
func buildBinary() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "op"); err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // it is run as nobody, too
		return "", err
	}
	build := exec.Command("go", "build", "-C", "../../../..", "-tags", os.Getenv("TAGS"),
		"-o", filepath.Join(dir, "oauth-proxyd"), "./cmd/oauth-proxyd")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return dir, os.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// inBothModes runs a test with a tailscaled in userspace mode and with one that has a
// TUN device, where that can be had.
func inBothModes(t *testing.T, test func(t *testing.T, tun bool)) {
	t.Helper()
	t.Run("userspace", func(t *testing.T) {
		t.Parallel()
		test(t, false)
	})
	if !canTUN(t) {
		return
	}
	t.Run("TUN", func(t *testing.T) {
		t.Parallel()
		test(t, true)
	})
}

// canTUN says loudly what is not tested on this machine.
func canTUN(t *testing.T) bool {
	t.Helper()
	err := tailnet.Namespaces()
	if err != nil {
		fmt.Fprintf(os.Stderr, "!!! %s with a TUN device is NOT TESTED: %v\n", t.Name(), err)
	}
	return err == nil
}
