package tailnet

import (
	"time"

	"golang.org/x/sys/unix"
)

// wakeInterval is how often Follow looks whether the machine slept. Our timers stand
// still meanwhile, so this is also how late after a resume it looks.
const wakeInterval = 5 * time.Second

// shortestSleep is more than the two clocks can seem apart by being read one after
// the other.
const shortestSleep = time.Second

// sleepDetector tells that the machine was suspended since it was last asked.
type sleepDetector struct {
	suspended func() time.Duration
	before    time.Duration
}

func newSleepDetector(suspended func() time.Duration) sleepDetector {
	return sleepDetector{suspended: suspended, before: suspended()}
}

func (d *sleepDetector) slept() bool {
	now := d.suspended()
	slept := now-d.before >= shortestSleep
	d.before = now
	return slept
}

// suspended is how long this machine has been suspended since it was booted: of the
// two clocks, see clock_gettime(2), one goes on meanwhile. Reading them needs no
// privilege, and where one cannot be read nothing is detected.
func suspended() time.Duration {
	var monotonic, boot unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic) != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return 0
	}
	return time.Duration(boot.Nano() - monotonic.Nano())
}
