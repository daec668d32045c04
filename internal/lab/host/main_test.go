package host_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"oauth-proxyd/internal/lab/host"
)

// TestMain makes the image before the clock of any test runs.
func TestMain(m *testing.M) {
	if err := host.Supported(); err != nil {
		fmt.Fprintf(os.Stderr, "!!! NOT TESTED: the packages on a booted host: %v\n", err)
		os.Exit(1)
	}
	if os.Getenv(asOwner) != "" {
		fmt.Fprintln(os.Stderr, own())
		os.Exit(1)
	}
	if _, err := host.OpenImage(context.Background(), host.Usual(), os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "opening the image: %v\n", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}
