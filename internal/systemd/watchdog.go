package systemd

import (
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// WatchdogInterval is the time within which [Notifier.Watchdog] has to be called, again and again: the unit's WatchdogSec=,
// from WATCHDOG_USEC, see sd_watchdog_enabled(3), which advises to call at half of it. It is 0 when there is no watchdog,
// or when WATCHDOG_PID says that it is for another process. Variables that cannot be read are an error: a daemon that
// went on without would be killed.
func WatchdogInterval() (time.Duration, error) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0, fmt.Errorf("reading the watchdog interval of systemd: %w", err)
	}
	return interval, nil
}
