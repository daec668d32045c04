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

// TestStoppedDaemonIsExplained: doctor and status say why a daemon does not respond, and a fix that
// works.
func TestStoppedDaemonIsExplained(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	s.signal(syscall.SIGSTOP)
	t.Cleanup(func() { s.signal(syscall.SIGCONT) })
	words := []string{fmt.Sprintf("process %d is stopped by a signal", s.process.PID), "kill -CONT "}
	d, _ := s.doctor()
	d.want(t, "daemon", "fail", words...)
	code, _, errs := s.command("status")
	if code != 69 || !daemontest.ContainsAll(strings.Join(strings.Fields(errs), " "), words) {
		t.Errorf("status: %d %s", code, errs)
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

// TestStatusNamesLackOfDescriptors: the daemon has none for a connection to the upstream.
func TestStatusNamesLackOfDescriptors(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	client := newClient(t)
	ask := func(path string, status int) {
		response, err := daemontest.Ask(client, http.MethodGet, s.url()+path, "")
		if err != nil {
			t.Fatal(err)
		}
		response.Want(t, status)
	}
	ask("/health", 200) // the connection is kept
	restore := takeDescriptors(t, s)
	ask("/v1/models", 502)
	restore()
	s.wantStatus(0, "healthy, but the last request failed: upstream_connect: could not connect", "too many open files")
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

// takeDescriptors leaves the daemon no free descriptor until the test ends or calls restore.
func takeDescriptors(t *testing.T, s *service) (restore func()) {
	t.Helper()
	pid := s.process.PID
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	limit := unix.Rlimit{Cur: 3, Max: before.Max} // stdin to stderr are open
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	restore = func() { _ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil) } // it may have ended
	t.Cleanup(restore)
	return restore
}
