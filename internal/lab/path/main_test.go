package path_test

import (
	"os"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// TestMain puts the binary into the PATH of all tests.
func TestMain(m *testing.M) { os.Exit(daemontest.Main(m)) }
