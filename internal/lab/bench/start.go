package bench

import (
	"context"
	"os"
	"time"

	"oauth-proxyd/internal/lab/bench/rig"
)

// Start starts oauth-proxyd with a tailscaled that is up, takes the time until it says READY=1,
// then leaves it alone and counts how often it wakes up all the same.
func (s stage) Start(ctx context.Context) (Values, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it lies in the folder for such things
	address, err := rig.FreePort()
	if err != nil {
		return nil, err
	}
	d, err := rig.StartDaemon(ctx, rig.DaemonConfig{
		Program: s.peer.program, Address: address, Upstream: "http://" + s.upstream.Plain, Place: rig.Place{Cores: s.cores.Proxy}, Dir: dir,
	})
	if err != nil {
		return nil, err
	}
	defer d.Close()
	sleep(ctx, s.pace.Warm)
	wakeups, cpu, err := idleCounters(d.PID)
	if err != nil {
		return nil, err
	}
	sleep(ctx, s.pace.Idle)
	laterWakeups, laterCPU, err := idleCounters(d.PID)
	if err != nil {
		return nil, err
	}
	rss, err := rig.RSS(d.PID)
	perMinute := time.Minute.Seconds() / s.pace.Idle.Seconds()
	return Values{
		ReadyTime:   inMilliseconds(d.Ready),
		IdleRSS:     float64(rss),
		IdleWakeups: float64(laterWakeups-wakeups) * perMinute,
		IdleCPU:     inMilliseconds(laterCPU-cpu) * perMinute,
	}, err
}

func idleCounters(pid int) (wakeups int64, cpu time.Duration, err error) {
	if wakeups, err = rig.Wakeups(pid); err != nil {
		return 0, 0, err
	}
	cpu, err = rig.CPU(pid)
	return wakeups, cpu, err
}
