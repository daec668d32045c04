package main_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/faketailscaled"
)

// tailscaled is a fake with a socket.
type tailscaled struct {
	*faketailscaled.Server
	path string
}

// newTailscaled returns a tailscaled that does not run yet.
func newTailscaled(t *testing.T) *tailscaled {
	t.Helper()
	d := &tailscaled{faketailscaled.New(), filepath.Join(daemontest.TempDir(t), "ts.sock")} // of its real name, it would be found by other tests
	t.Cleanup(d.Close)
	return d
}

// runTailscaled runs a tailscaled in a backend state.
func runTailscaled(t *testing.T, state string) *tailscaled {
	t.Helper()
	d := newTailscaled(t)
	d.Become(state)
	d.run(t)
	return d
}

func (d *tailscaled) run(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", d.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(d.path, 0o777); err != nil { // some tests run the program as nobody
		t.Fatal(err)
	}
	d.Serve(l)
}

// onTailnet returns a tailscale block for this tailscaled.
func onTailnet(d *tailscaled, whenDown string) string {
	return fmt.Sprintf("tailscale {\n  socket = %q\n  when_down = %q\n}\n", d.path, whenDown)
}
