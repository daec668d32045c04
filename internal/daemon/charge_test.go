package daemon

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"oauth-proxyd/internal/systemd"
)

func TestOnlyAProcessInChargeNotifies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close() //nolint:errcheck // a test's
	t.Setenv("NOTIFY_SOCKET", path)
	d := newTestDaemon()
	d.notifier = systemd.NewNotifier()
	for _, d.role = range []role{candidate, leaving, handedOver, inCharge} {
		d.notify(fmt.Sprintf("ROLE=%d", d.role))
	}
	message := make([]byte, 512)
	n, err := manager.Read(message)
	if want := fmt.Sprintf("ROLE=%d\nSTATUS=Reading the configuration", inCharge); err != nil || string(message[:n]) != want {
		t.Errorf("%q, %v; want %q", message[:n], err, want)
	}
}
