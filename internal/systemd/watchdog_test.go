package systemd_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"oauth-proxyd/internal/systemd"
)

func TestWatchdogInterval(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	tests := []struct {
		name, usec, pid string
		want            time.Duration
		bad             bool
	}{
		{"not set", "", "", 0, false},
		{"for this process", "30000000", own, 30 * time.Second, false},
		{"for any process", "1500000", "", 1500 * time.Millisecond, false},
		{"for another process", "30000000", "1", 0, false},
		{"not a number", "30s", own, 0, true},
		{"zero", "0", own, 0, true},
		{"negative", "-1", own, 0, true},
		{"too large", "99999999999999999999", own, 0, true},
		{"process id not a number", "30000000", "me", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("WATCHDOG_USEC", tt.usec)
			t.Setenv("WATCHDOG_PID", tt.pid)
			got, err := systemd.WatchdogInterval()
			if got != tt.want || (err != nil) != tt.bad {
				t.Errorf("WatchdogInterval() = %v, %v; want %v, an error: %t", got, err, tt.want, tt.bad)
			}
		})
	}
}
