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

// Notifier tells the service manager how the service is, sd_notify(3). Each method sends one
// datagram, so that what it says arrives whole or not at all, and waits one second at most for a
// manager that does not read. All may be called at the same time. An error is no reason to stop
// serving.
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

// Mute sends nothing, while another process is the service's main one.
func (n *Notifier) Mute(muted bool) { n.muted.Store(muted) }

// Environment is what a process needs that is to be a Notifier in this one's place.
func (n *Notifier) Environment() []string {
	if !n.Enabled() {
		return nil
	}
	return []string{"NOTIFY_SOCKET=" + n.socket}
}

// MainPID sends MAINPID=: that process is the service's main one from now on.
func (n *Notifier) MainPID(pid int) error {
	return n.send("another main process", fmt.Sprintf("MAINPID=%d", pid))
}

// Ready sends READY=1: the start, or the reload, is over. An empty status leaves the one shown as
// it is.
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

// Stopping sends STOPPING=1: the service goes down.
func (n *Notifier) Stopping(status string) error {
	return n.send("stopping", daemon.SdNotifyStopping, statusLine(status))
}

// ExtendTimeout sends EXTEND_TIMEOUT_USEC=: the start, the reload or the stop under way may take d
// from now on, whatever TimeoutStartSec= or TimeoutStopSec= of the unit says.
func (n *Notifier) ExtendTimeout(d time.Duration) error {
	return n.send("a longer timeout", fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", d.Microseconds()))
}

// Watchdog sends WATCHDOG=1, due once in every [WatchdogInterval].
func (n *Notifier) Watchdog() error { return n.send("the watchdog", daemon.SdNotifyWatchdog) }

// WatchdogInterval is the unit's WatchdogSec=, from WATCHDOG_USEC, see sd_watchdog_enabled(3),
// which advises to notify at half of it. It is 0 when there is no watchdog, or when WATCHDOG_PID
// says that it is for another process. Variables that cannot be read are an error: a daemon that
// went on without would be killed.
func WatchdogInterval() (time.Duration, error) { return daemon.SdWatchdogEnabled(false) }

// send dials for each message: connecting a datagram socket costs two system calls and never waits,
// and a manager that was executed again in the meantime is found under the same name.
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

// statusLine is empty for an empty status.
func statusLine(status string) string {
	if status = oneLine(status); status == "" {
		return ""
	}
	return "STATUS=" + status
}

// oneLine keeps a status from being read as a message of its own: a line break within it would
// begin another assignment, and systemd ignores a status that is not UTF-8.
func oneLine(s string) string {
	return term.Cut(strings.TrimSpace(term.Clean(s)), maxStatus)
}
