package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"oauth-proxyd/internal/daemontest"
)

// TestStuckDaemonIsExplained: doctor and status say why a daemon does not respond, and a fix that
// works.
func TestStuckDaemonIsExplained(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		stick func(t *testing.T, s *service)
		words []string
	}{
		{"stopped", func(t *testing.T, s *service) {
			s.signal(syscall.SIGSTOP)
			t.Cleanup(func() { s.signal(syscall.SIGCONT) })
		}, []string{"is stopped by a signal", "kill -CONT "}},
		{"out of descriptors", func(t *testing.T, s *service) { spareDescriptors(t, s, -3) }, []string{" file descriptors open, and its limit is ", "ulimit -n 65536", "LimitNOFILE="}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
			row.stick(t, s)
			d, _ := s.doctor()
			d.want(t, "daemon", "fail", append(row.words, fmt.Sprint("process ", s.process.PID))...)
			code, _, errs := s.command("status")
			if code != 69 || !daemontest.ContainsAll(strings.Join(strings.Fields(errs), " "), row.words) {
				t.Errorf("status: %d %s", code, errs)
			}
		})
	}
}

// TestFewDescriptorsAreWarnedOf: doctor sees it before the daemon stops responding.
func TestFewDescriptorsAreWarnedOf(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	spareDescriptors(t, s, 3)
	d, _ := s.doctor()
	d.want(t, "daemon", "warn", " file descriptors open, and its limit is ", "LimitNOFILE=")
}

// spareDescriptors leaves the daemon so many free descriptors.
func spareDescriptors(t *testing.T, s *service, free int) {
	t.Helper()
	pid := s.process.PID
	open, err := os.ReadDir(filepath.Join("/proc", fmt.Sprint(pid), "fd"))
	if err != nil {
		t.Fatal(err)
	}
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	limit := unix.Rlimit{Cur: uint64(len(open) + free), Max: before.Max}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil) })
}
