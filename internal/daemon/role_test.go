package daemon

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/config"
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

func TestRoleDecidesWhoWritesTheTextfile(t *testing.T) {
	d, file := newTestDaemon(), filepath.Join(t.TempDir(), "x.prom")
	d.textfile, _ = counting()
	d.publish(func(v *view) {
		v.config = &config.Config{Metrics: config.Metrics{Textfile: file, TextfileInterval: time.Hour}}
	})
	for _, row := range []struct {
		role role
		path string
	}{{candidate, ""}, {inCharge, file}, {leaving, ""}, {inCharge, file}, {leaving, ""}, {handedOver, ""}} {
		if d.become(row.role); d.textfile.path != row.path {
			t.Errorf("role %d: %q, want %q", row.role, d.textfile.path, row.path)
		}
	}
}

// systemctl kill sends a signal to both processes of an upgrade. The candidate must not take it for
// an upgrade of its own: when that failed, it would take charge.
func TestCandidateStartsNoUpgrade(t *testing.T) {
	d := newTestDaemon()
	d.role, d.log = candidate, slog.New(slog.DiscardHandler)
	d.handleSignal(syscall.SIGUSR2)
	if len(d.events) > 0 {
		t.Error("it starts one")
	}
}
