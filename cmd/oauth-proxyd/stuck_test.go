package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
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
		{"out of descriptors", func(t *testing.T, s *service) { spareDescriptors(t, s, 0) }, []string{" file descriptors open, and its limit is ", "ulimit -n 65536", "LimitNOFILE="}},
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

func TestProgramThatHangsOnTheAdminSocket(t *testing.T) {
	t.Parallel()
	s := newService(t, unit{})
	l, err := net.Listen("unix", filepath.Join(s.dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, _, errs := s.command("status")
	if words := []string{"it is process " + fmt.Sprint(os.Getpid()), "hint: kill " + fmt.Sprint(os.Getpid())}; !daemontest.ContainsAll(errs, words) {
		t.Errorf("status says\n%s", errs)
	}
}

// TestStatusNamesLackOfDescriptors: the fix is a higher limit, and not doctor.
func TestStatusNamesLackOfDescriptors(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	s.failForDescriptors(t)
	s.wantStatus(0, "healthy, but the last request failed: upstream_connect: could not connect", "too many open files", "the daemon has no file descriptor left: raise LimitNOFILE= of oauth-proxyd.service, or `ulimit -n`")
}

// TestFewDescriptorsAreWarnedOf: doctor sees it before the daemon stops responding.
func TestFewDescriptorsAreWarnedOf(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	s.failForDescriptors(t)
	spareDescriptors(t, s, 3)
	d, _ := s.doctor()
	d.want(t, "daemon", "warn", " file descriptors open, and its limit is ", "LimitNOFILE=")
}

// failForDescriptors has a request fail because the daemon has no descriptor for its connection.
func (s *service) failForDescriptors(t *testing.T) {
	t.Helper()
	client := newClient(t)
	ask := func(path string, status int) {
		response, err := daemontest.Ask(client, http.MethodGet, s.url()+path, "")
		if err != nil {
			t.Fatal(err)
		}
		response.Want(t, status)
	}
	ask("/health", 200) // the connection is kept
	restore := spareDescriptors(t, s, 0)
	ask("/v1/models", 502)
	restore()
}

// TestFewDescriptorsBoundConnections: more clients than the process has file descriptors for keep
// no other client out, whether they are admitted or not.
func TestFewDescriptorsBoundConnections(t *testing.T) {
	t.Parallel()
	const limit, flood = "300", 500
	real, err := exec.LookPath("oauth-proxyd")
	if err != nil {
		t.Fatal(err)
	}
	dir := daemontest.TempDir(t)
	installText(t, filepath.Join(dir, "oauth-proxyd"), "#!/bin/bash\nulimit -n "+limit+"\nexec -a oauth-proxyd "+real+" \"$@\"\n")
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet), env: []string{"PATH=" + dir + ":" + os.Getenv("PATH")}})
	s.log.Next(t, "the process may have only "+limit+" file descriptors", "raise LimitNOFILE=")
	for _, text := range []string{"", "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n"} {
		for range flood {
			c, err := net.Dial("tcp", s.unit.sockets[0].Addr())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			_, _ = io.WriteString(c, text) // the daemon may have closed it
		}
		response, err := daemontest.Ask(newClient(t), http.MethodGet, s.url()+"/health", "")
		if err != nil {
			t.Fatal(err)
		}
		response.Want(t, http.StatusOK)
	}
	s.wantStatus(0, "healthy", "the process may have only "+limit+" file descriptors, so ", " requests may be in flight instead of 1000")
	if n := s.log.Count("could not accept a connection"); n > 0 {
		t.Errorf("%d times there was no descriptor left", n)
	}
}

// spareDescriptors leaves the daemon so many free descriptors until the test ends or calls restore.
func spareDescriptors(t *testing.T, s *service, free int) (restore func()) {
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
	if free == 0 {
		limit.Cur = 3 // a number may be free below that of the last one, but stdin to stderr are open
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	restore = func() { _ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil) } // it may have ended
	t.Cleanup(restore)
	return restore
}
