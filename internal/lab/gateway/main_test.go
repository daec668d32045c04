package gateway_test

import (
	"fmt"
	"os"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// TestMain fetches the gateway, and puts the binary into the PATH of all tests.
func TestMain(m *testing.M) {
	if err := install(); err != nil {
		fmt.Fprintf(os.Stderr, "fetching the gateway: %v\n", err)
		os.Exit(1)
	}
	os.Exit(daemontest.Main(m))
}
