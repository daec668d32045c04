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
// not read. It is safe for concurrent use. The daemon keeps running after an error.
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

// Socket returns the value of NOTIFY_SOCKET; empty: no service manager wants notifications.
func (n *Notifier) Socket() string { return n.socket }

// Mute stops or resumes sending. A process that is not the service's main one is muted.
func (n *Notifier) Mute(muted bool) { n.muted.Store(muted) }

// MainPID sends MAINPID=, which makes that process the service's main one.
func (n *Notifier) MainPID(pid int) error {
	return n.send(fmt.Sprintf("MAINPID=%d", pid))
}

// Ready sends READY=1 at the end of the start or of a reload, with a status.
func (n *Notifier) Ready(status string) error {
	return n.send(daemon.SdNotifyReady, statusLine(status))
}

// Status sends STATUS=, the line that systemctl status shows.
func (n *Notifier) Status(status string) error { return n.send(statusLine(status)) }

// Reloading sends RELOADING=1 with the MONOTONIC_USEC= that Type=notify-reload asks for since
// systemd 253 and that older versions ignore. Ready ends the reload, whatever came of it.
func (n *Notifier) Reloading(status string) error {
	clock := strings.TrimSpace(daemon.SdNotifyMonotonicUsec())
	return n.send(daemon.SdNotifyReloading, clock, statusLine(status))
}

// Stopping sends STOPPING=1.
func (n *Notifier) Stopping(status string) error {
	return n.send(daemon.SdNotifyStopping, statusLine(status))
}

// ExtendTimeout sends EXTEND_TIMEOUT_USEC=. The start, reload or stop under way may take d from now
// on, even if TimeoutStartSec= or TimeoutStopSec= of the unit is shorter.
func (n *Notifier) ExtendTimeout(d time.Duration) error {
	return n.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", d.Microseconds()))
}

// Watchdog sends WATCHDOG=1, which is due once in every [WatchdogInterval].
func (n *Notifier) Watchdog() error { return n.send(daemon.SdNotifyWatchdog) }

// WatchdogInterval returns WatchdogSec= of the unit, see sd_watchdog_enabled(3). It is 0 if there
// is no watchdog, or WATCHDOG_PID is another process. A malformed variable is an error, because
// systemd would kill a daemon that does not notify.
func WatchdogInterval() (time.Duration, error) { return daemon.SdWatchdogEnabled(false) }

// send dials for each message. That never waits, and finds a manager that was executed again.
func (n *Notifier) send(lines ...string) error {
	if n.socket == "" || n.muted.Load() {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()                                     //nolint:errcheck // the message was sent, or its error counts
	_ = conn.SetWriteDeadline(time.Now().Add(sendTimeout)) // it fails only on a closed connection
	_, err = conn.Write([]byte(strings.Join(lines, "\n")))
	return err
}

// statusLine returns the STATUS= of a status, as one line of at most 512 bytes.
func statusLine(status string) string { return "STATUS=" + oneLine(status) }

// oneLine removes line breaks, which would begin another assignment, and whatever is not UTF-8, for
// which systemd ignores a status.
func oneLine(s string) string {
	return term.Cut(strings.TrimSpace(term.Clean(s)), maxStatus)
}
