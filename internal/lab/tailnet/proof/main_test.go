package proof_test

import (
	"fmt"
	"os"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/tailnet"
)

// TestMain puts the binary into the PATH of all tests.
func TestMain(m *testing.M) { os.Exit(daemontest.Main(m)) }

// inBothModes runs a test with a tailscaled in userspace mode and with one that has a TUN device,
// where that can be had.
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
