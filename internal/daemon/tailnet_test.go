package daemon

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"oauth-proxyd/internal/tailnet"
)

// TestLookTrustsOnlyTheProcessThatListens uses a socket that accepts, and never responds.
func TestLookTrustsOnlyTheProcessThatListens(t *testing.T) {
	path, self := filepath.Join(t.TempDir(), "s"), os.Getpid()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // a test's
	client := tailnet.New(tailnet.Config{Socket: path, AttemptTimeout: 200 * time.Millisecond})
	for _, row := range []struct {
		name   string
		status tailnet.Status
		known  bool
	}{
		{"its status", tailnet.Status{PID: self, Userspace: true}, true},
		{"that of a process before", tailnet.Status{PID: self + 1, Userspace: true}, false},
		{"that of the command, from before", tailnet.Status{ByCommand: true, Userspace: true}, false},
		{"none", tailnet.Status{}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := newTestDaemon()
			d.publish(func(v *view) { v.tailscaled = row.status })
			got, err := tailnetView{client, d}.Look(t.Context())
			if err != nil || got.Absent || got.PID != self || got.Known != row.known || got.Userspace != row.known {
				t.Errorf("%+v, %v; known: want %t", got, err, row.known)
			}
		})
	}
}
