package host_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"oauth-proxyd/internal/lab/host"
)

// parallel is how many hosts there are at once, at least: they wait more than they compute.
const parallel = "4"

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
	flag.Parse()
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err)
	}
	if _, err := host.OpenImage(context.Background(), host.Usual(), os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "opening the image: %v\n", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}
