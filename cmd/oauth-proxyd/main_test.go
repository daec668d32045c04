// The tests of this package run the program as its users do: the binary itself, with sockets,
// signals, a service manager and a tailscaled around it.
//
//	main_test.go       builds the binary
//	service_test.go    one service: starting, signalling, waiting for its end
//	upstream_test.go   the upstream that it forwards to
//	tailscaled_test.go the fake tailscaled
//	client_test.go     the clients that send requests
//
// Each other file tests one promise.
package main_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// TestMain puts the binary into the PATH of all tests.
func TestMain(m *testing.M) { os.Exit(daemontest.Main(m)) }

// go test caches a result as long as the files that the tests open are the same. The build of the
// binary happens elsewhere, so the test opens its sources.
func TestCacheFollowsTheSources(t *testing.T) {
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
