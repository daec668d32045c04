package systemd

import (
	"net"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"oauth-proxyd/internal/term"
)

const (
	sendTimeout = time.Second
	maxStatus   = 512 // bytes
)

// Notifier sends notifications to the service manager, sd_notify(3). It is safe for concurrent use.
// The daemon keeps running after an error.
type Notifier struct{ socket string }

// NewNotifier takes over NOTIFY_SOCKET and removes it from the environment. Without it, Send does
// nothing and returns nil.
func NewNotifier() *Notifier {
	n := &Notifier{socket: os.Getenv("NOTIFY_SOCKET")}
	_ = os.Unsetenv("NOTIFY_SOCKET") // cannot fail on Linux
	return n
}

// Socket returns the value of NOTIFY_SOCKET; empty: no service manager wants notifications.
func (n *Notifier) Socket() string { return n.socket }

// Reloading returns RELOADING=1 with the MONOTONIC_USEC= that Type=notify-reload asks for since
// systemd 253 and that older versions ignore. READY=1 ends the reload, whatever came of it.
func Reloading() string {
	return daemon.SdNotifyReloading + "\n" + strings.TrimSpace(daemon.SdNotifyMonotonicUsec())
}

// WatchdogInterval returns WatchdogSec= of the unit, see sd_watchdog_enabled(3). It is 0 if there
// is no watchdog, or WATCHDOG_PID is another process. A malformed variable is an error, because
// systemd would kill a daemon that does not notify.
func WatchdogInterval() (time.Duration, error) { return daemon.SdWatchdogEnabled(false) }

// Send sends assignments of sd_notify(3), and STATUS=, the line that systemctl status shows, cut at
// 512 bytes. They are one datagram, which arrives whole or not at all. Send waits at most a second
// for a manager that does not read.
func (n *Notifier) Send(status string, assignments ...string) error {
	if n.socket == "" {
		return nil
	}
	// To dial for each message never waits, and finds a manager that was executed again.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()                                     //nolint:errcheck // the message was sent, or its error counts
	_ = conn.SetWriteDeadline(time.Now().Add(sendTimeout)) // it fails only on a closed connection
	_, err = conn.Write([]byte(strings.Join(append(assignments, "STATUS="+oneLine(status)), "\n")))
	return err
}

// oneLine removes line breaks, which would begin another assignment, and whatever is not UTF-8, for
// which systemd ignores a status.
func oneLine(s string) string { return term.Cut(strings.TrimSpace(term.Clean(s)), maxStatus) }
