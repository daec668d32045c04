package main_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const nobody = 65534

// unit is what a test decides about a service.
type unit struct {
	config  string    // content of its file
	args    []string  // more of them
	env     []string  // likewise
	sockets []*socket // passed as systemd does
	nobody  bool      // not root
	debug   bool      // log level
	asFile  bool      // log format by the configuration, not JSON
}

// service is a unit as a service manager would run it: the same sockets, files and
// notifications for one process after the other.
type service struct {
	t      *testing.T
	unit   unit
	dir    string  // its configuration and RUNTIME_DIRECTORY
	stdout *record // of all processes so far
	log    *record // likewise
	notes  *record // to the service manager

	reading    sync.WaitGroup // stdout and log, to the end of the last process that writes there
	cmd        *exec.Cmd
	exited     chan struct{}
	successors []int // processes that took over
}

// newService prepares one with a socket named proxy, unless it has others.
func newService(t *testing.T, u unit) *service {
	t.Helper()
	s := &service{t: t, unit: u, dir: tempDir(t), stdout: newRecord(), log: newRecord()}
	s.notes = listenNotify(t, filepath.Join(s.dir, "notify"))
	if u.sockets == nil {
		s.unit.sockets = []*socket{newSocket(t, "proxy")}
	}
	s.configure(u.config)
	t.Cleanup(s.end)
	return s
}

// start is newService, run and the wait for READY=1.
func start(t *testing.T, u unit) *service {
	t.Helper()
	s := newService(t, u)
	s.run()
	s.notes.next(t, "READY=1")
	return s
}

// output is a pipe into r, for a process and those that take over from it.
func (s *service) output(r *record) *os.File {
	s.t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.reading.Go(func() {
		defer out.Close()
		_, _ = io.Copy(r, out) // until the last of them has ended
	})
	return in
}

func (s *service) file() string { return filepath.Join(s.dir, "oauth-proxyd.hcl") }

func (s *service) configure(content string) {
	s.t.Helper()
	if err := os.WriteFile(s.file(), []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// run starts a process.
func (s *service) run() {
	s.t.Helper()
	args := append([]string{"serve", "--config", s.file()}, s.unit.args...)
	if !s.unit.asFile {
		args = append(args, "--log-format", "json")
	}
	if s.unit.debug {
		args = append(args, "--log-level", "debug")
	}
	// Only a process itself can say its id before it begins.
	s.cmd = exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec oauth-proxyd "$@"`, "sh"}, args...)...)
	s.cmd.Env = append(s.environment(), s.pass()...)
	stdout, stderr := s.output(s.stdout), s.output(s.log)
	defer stdout.Close()
	defer stderr.Close()
	s.cmd.Stdout, s.cmd.Stderr = stdout, stderr
	if s.unit.nobody && os.Geteuid() == 0 {
		s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	s.begin()
}

// begin starts what is in cmd.
func (s *service) begin() {
	s.t.Helper()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.exited = make(chan struct{})
	go func(c *exec.Cmd, exited chan struct{}) {
		_ = c.Wait() // the exit code tells
		close(exited)
	}(s.cmd, s.exited)
}

func (s *service) environment() []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir,
		"NOTIFY_SOCKET=" + filepath.Join(s.dir, "notify"), "RUNTIME_DIRECTORY=" + s.dir,
		"GOCOVERDIR=" + os.Getenv("GOCOVERDIR"),
	}, s.unit.env...)
}

// pass hands the sockets over, see sd_listen_fds(3).
func (s *service) pass() []string {
	if len(s.unit.sockets) == 0 {
		return nil
	}
	var names []string
	for _, p := range s.unit.sockets {
		s.cmd.ExtraFiles = append(s.cmd.ExtraFiles, p.file)
		names = append(names, p.name)
	}
	env := []string{fmt.Sprintf("LISTEN_FDS=%d", len(names))}
	if all := strings.Join(names, ":"); strings.Trim(all, ":") != "" {
		env = append(env, "LISTEN_FDNAMES="+all)
	}
	return env
}

func (s *service) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("signal %v: %v", sig, err)
	}
}

// exit waits for the end of the process.
func (s *service) exit() (code int) {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.t.Fatalf("it does not end; its log:\n%s", s.log.text())
	}
	if len(s.successors) == 0 {
		s.reading.Wait() // all that it said is there
	}
	return s.cmd.ProcessState.ExitCode()
}

// stop is what systemctl stop does.
func (s *service) stop() (code int) {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	return s.exit()
}

func (s *service) wantExit(code int) {
	s.t.Helper()
	if got := s.exit(); got != code {
		s.t.Errorf("exit code %d, want %d; its log:\n%s", got, code, s.log.text())
	}
}

// end leaves no process behind.
func (s *service) end() {
	if s.cmd != nil {
		s.endForCoverage()
		_ = s.cmd.Process.Kill() // it may have ended
		<-s.exited
	}
	for _, pid := range s.successors {
		_ = syscall.Kill(pid, syscall.SIGKILL) // likewise
	}
	s.reading.Wait()
	if s.t.Failed() {
		s.t.Logf("the log:\n%s\nthe notifications:\n%s", s.log.text(), s.notes.text())
	}
}

// endForCoverage has the process end by itself: a killed one writes nothing of what it
// went through.
func (s *service) endForCoverage() {
	if os.Getenv("GOCOVERDIR") == "" {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // at once
	select {
	case <-s.exited:
	case <-time.After(drainTime):
	}
}

// drainTime is more than a process takes to end.
const drainTime = 10 * time.Second

// url is where the first socket serves.
func (s *service) url() string { return s.unit.sockets[0].url() }

// command runs another command of the program beside the service.
func (s *service) command(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	return s.commandAs(nil, args...)
}

// commandAsNobody does so without a right to the admin socket.
func (s *service) commandAsNobody(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	if os.Geteuid() == 0 {
		return s.commandAs(&syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}, args...)
	}
	if err := os.Chmod(filepath.Join(s.dir, "admin.sock"), 0); err != nil {
		s.t.Fatal(err)
	}
	return s.commandAs(nil, args...)
}

func (s *service) commandAs(who *syscall.SysProcAttr, args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	c := exec.CommandContext(s.t.Context(), "oauth-proxyd", args...)
	c.Env, c.SysProcAttr = s.environment(), who
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if c.ProcessState == nil {
		s.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String(), errs.String()
}

// socket is a listening socket as a socket unit holds it: it stays while processes
// come and go.
type socket struct {
	name     string
	listener net.Listener
	file     *os.File
}

func newSocket(t *testing.T, name string) *socket {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return holdSocket(t, name, l)
}

func holdSocket(t *testing.T, name string, l net.Listener) *socket {
	t.Helper()
	f, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(); l.Close() })
	return &socket{name: name, listener: l, file: f}
}

func (p *socket) addr() string { return p.listener.Addr().String() }

func (p *socket) url() string { return "http://" + p.addr() }

// tempDir has a short path, for sockets in it, and lets nobody in.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "op")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func makeWritable(path string) error { return os.Chmod(path, 0o777) }
