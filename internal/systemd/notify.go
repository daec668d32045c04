package systemd

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"oauth-proxyd/internal/term"
)

const (
	sendTimeout = time.Second
	maxStatus   = 512 // bytes
)

// Notifier sends notifications to the service manager, sd_notify(3). Each method sends one
// datagram, which arrives whole or not at all, and waits at most a second for a manager that does
// not read. It is safe for concurrent use. An error is no reason to stop serving.
type Notifier struct {
	socket string
	muted  atomic.Bool
}

// NewNotifier takes over NOTIFY_SOCKET and removes it from the environment. Without it, every
// method of the Notifier does nothing and returns nil.
func NewNotifier() *Notifier {
	n := &Notifier{socket: os.Getenv("NOTIFY_SOCKET")}
	_ = os.Unsetenv("NOTIFY_SOCKET") // cannot fail on Linux
	return n
}

// Enabled reports whether a service manager wants notifications.
func (n *Notifier) Enabled() bool { return n.socket != "" }

// Mute stops or resumes sending. A process that is not the service's main one is muted.
func (n *Notifier) Mute(muted bool) { n.muted.Store(muted) }

// Environment returns the variables with which another process makes the same Notifier.
func (n *Notifier) Environment() []string {
	if !n.Enabled() {
		return nil
	}
	return []string{"NOTIFY_SOCKET=" + n.socket}
}

// MainPID sends MAINPID=, which makes that process the service's main one.
func (n *Notifier) MainPID(pid int) error {
	return n.send("another main process", fmt.Sprintf("MAINPID=%d", pid))
}

// Ready sends READY=1 at the end of the start or of a reload. An empty status changes nothing in
// the one shown.
func (n *Notifier) Ready(status string) error {
	return n.send("ready", daemon.SdNotifyReady, statusLine(status))
}

// Status sends STATUS=, the line that systemctl status shows. It is made one line of at most 512
// bytes of printable characters. An empty status clears the one shown.
func (n *Notifier) Status(status string) error {
	return n.send("status", "STATUS="+oneLine(status))
}

// Reloading sends RELOADING=1 with the MONOTONIC_USEC= that Type=notify-reload asks for since
// systemd 253 and that older versions ignore. Ready ends the reload, whatever came of it.
func (n *Notifier) Reloading(status string) error {
	clock := strings.TrimSuffix(daemon.SdNotifyMonotonicUsec(), "\n")
	return n.send("reloading", daemon.SdNotifyReloading, clock, statusLine(status))
}

// Stopping sends STOPPING=1.
func (n *Notifier) Stopping(status string) error {
	return n.send("stopping", daemon.SdNotifyStopping, statusLine(status))
}

// ExtendTimeout sends EXTEND_TIMEOUT_USEC=. The start, reload or stop under way may take d from now
// on, even if TimeoutStartSec= or TimeoutStopSec= of the unit is shorter.
func (n *Notifier) ExtendTimeout(d time.Duration) error {
	return n.send("a longer timeout", fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", d.Microseconds()))
}

// Watchdog sends WATCHDOG=1, which is due once in every [WatchdogInterval].
func (n *Notifier) Watchdog() error { return n.send("the watchdog", daemon.SdNotifyWatchdog) }

// WatchdogInterval returns WatchdogSec= of the unit, see sd_watchdog_enabled(3). It is 0 if there
// is no watchdog, or WATCHDOG_PID is another process. A malformed variable is an error, because
// systemd would kill a daemon that does not notify.
func WatchdogInterval() (time.Duration, error) { return daemon.SdWatchdogEnabled(false) }

// send dials for each message. That never waits, and finds a manager that was executed again.
func (n *Notifier) send(what string, lines ...string) error {
	if !n.Enabled() || n.muted.Load() {
		return nil
	}
	if err := send(n.socket, strings.TrimSuffix(strings.Join(lines, "\n"), "\n")); err != nil {
		return fmt.Errorf("notifying systemd of %s: %w", what, err)
	}
	return nil
}

func send(socket, message string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the message was sent, or its error counts
	if err := conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(message))
	return err
}

// statusLine returns the STATUS= of a status that is not empty.
func statusLine(status string) string {
	if status = oneLine(status); status == "" {
		return ""
	}
	return "STATUS=" + status
}

// oneLine removes line breaks, which would begin another assignment, and whatever is not UTF-8, for
// which systemd ignores a status.
func oneLine(s string) string {
	return term.Cut(strings.TrimSpace(term.Clean(s)), maxStatus)
}
