package soak

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	reloadEvery = 3 * time.Second
	// There are this many upgrades in the first half of the time, or more: one in upgradeEvery.
	upgrades     = 3
	upgradeEvery = 3 * time.Minute
)

// startDisturbing gives a function that waits for the end of it.
func (s *soak) startDisturbing(ctx context.Context, d time.Duration) (wait func()) {
	var disturbing sync.WaitGroup
	disturbing.Go(func() { s.every(ctx, min(reloadEvery, d/4), -1, syscall.SIGHUP) })
	n := max(upgrades, int(d/2/upgradeEvery))
	disturbing.Go(func() { s.every(ctx, d/2/time.Duration(n+1), n, syscall.SIGUSR2) })
	return disturbing.Wait
}

// every sends a signal to the process that serves, so many times; negative: without end.
func (s *soak) every(ctx context.Context, interval time.Duration, times int, signal syscall.Signal) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for n := 0; n != times; n++ {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if err := syscall.Kill(int(s.pid.Load()), signal); err != nil {
			s.report.lose(fmt.Sprintf("%v to the daemon: %v", signal, err))
		}
		s.report.count(signal.String())
	}
}

// follow learns from its messages to systemd which process serves, and gives a function that ends
// that.
func (s *soak) follow(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var following sync.WaitGroup
	following.Go(func() {
		_ = s.daemon.Notify.Follow(ctx, func(line string) bool { // it ends with ctx
			if text, ok := strings.CutPrefix(line, "MAINPID="); ok {
				pid, err := strconv.Atoi(text)
				if err == nil {
					err = s.serves(pid)
				}
				if err != nil {
					s.report.lose(fmt.Sprintf("%s: %v", line, err))
				}
				s.report.count("handed over")
			}
			return true
		})
	})
	return func() { cancel(); following.Wait() }
}

// serves makes a process the main one, for systemctl, too.
func (s *soak) serves(pid int) error {
	s.pid.Store(int64(pid))
	return s.unit.Show(pid, nil)
}

// endSuccessor ends the process that took over.
func (s *soak) endSuccessor() {
	if pid := int(s.pid.Load()); pid != s.daemon.PID {
		_ = syscall.Kill(pid, syscall.SIGTERM) // it may have ended
	}
}
