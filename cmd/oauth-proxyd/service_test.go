package main_test

import (
	"cmp"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

const nobody = 65534

// unit is how a test configures a service.
type unit struct {
	config  string               // content of its file
	args    []string             // more of them
	env     []string             // likewise
	sockets []*daemontest.Socket // passed as systemd does
	nobody  bool                 // not root
	debug   bool                 // log level
	asFile  bool                 // log format by the configuration, not JSON
	stderr  *os.File             // instead of the log that the test reads
}

// service is a unit as a service manager would run it: the same sockets, files and notifications
// for one process after the other.
type service struct {
	t      *testing.T
	unit   unit
	dir    string             // its configuration and RUNTIME_DIRECTORY
	stdout *daemontest.Record // of all processes so far
	log    *daemontest.Record // likewise
	notes  *daemontest.Record // to the service manager

	reading    sync.WaitGroup // stdout and log, to the end of the last process that writes there
	process    *daemontest.Process
	successors []int             // processes that took over
	mainPID    atomic.Int64      // of the last MAINPID=
	deaf       atomic.Bool       // the service manager ignores MAINPID=
	properties map[string]string // of the unit, where they differ from the shipped one
}

// newService prepares a service with a socket named proxy, unless the unit has others.
func newService(t *testing.T, u unit) *service {
	t.Helper()
	s := &service{t: t, unit: u, dir: daemontest.TempDir(t), stdout: daemontest.NewRecord(), log: daemontest.NewRecord()}
	s.notes = daemontest.ListenNotify(t, filepath.Join(s.dir, "notify"), s.follow)
	if u.sockets == nil {
		s.unit.sockets = []*daemontest.Socket{daemontest.Listen(t, "proxy")}
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
	s.notes.Next(t, "READY=1")
	return s
}

// output returns a pipe into r, for a process and its successors.
func (s *service) output(r *daemontest.Record) *os.File {
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
	cmd := exec.Command("oauth-proxyd", s.args()...)
	cmd.Env = s.environment()
	daemontest.Activate(cmd, s.unit.sockets...)
	stdout, stderr := s.output(s.stdout), s.output(s.log)
	defer stdout.Close()
	defer stderr.Close()
	cmd.Stdout, cmd.Stderr = stdout, cmp.Or(s.unit.stderr, stderr)
	if s.unit.nobody && os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	s.process = daemontest.Start(s.t, cmd)
	s.show(s.process.PID)
}

// show makes systemctl show a process as the main one.
func (s *service) show(pid int) {
	s.t.Helper()
	u := daemontest.Unit{Dir: s.dir, Program: s.program(), Args: append([]string{"oauth-proxyd"}, s.args()...)}
	if err := u.Show(pid, s.properties); err != nil {
		s.t.Error(err)
	}
}

// follow does what systemd does with MAINPID=.
func (s *service) follow(message string) {
	pid, err := strconv.Atoi(daemontest.Field(message, "MAINPID"))
	if err != nil || s.deaf.Load() {
		return
	}
	s.mainPID.Store(int64(pid))
	s.show(pid)
}

// program returns the path of the program in the PATH of the service.
func (s *service) program() string {
	var path string
	for _, v := range s.environment() {
		if value, ok := strings.CutPrefix(v, "PATH="); ok {
			path = value
		}
	}
	for _, dir := range filepath.SplitList(path) {
		if file := filepath.Join(dir, "oauth-proxyd"); exists(file) {
			return file
		}
	}
	return ""
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func (s *service) args() []string {
	args := append([]string{"serve", "--config", s.file()}, s.unit.args...)
	if !s.unit.asFile {
		args = append(args, "--log-format", "json")
	}
	if s.unit.debug {
		args = append(args, "--log-level", "debug")
	}
	return args
}

func (s *service) environment() []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir,
		"NOTIFY_SOCKET=" + filepath.Join(s.dir, "notify"), "RUNTIME_DIRECTORY=" + s.dir,
		"GOCOVERDIR=" + os.Getenv("GOCOVERDIR"),
	}, s.unit.env...)
}

func (s *service) signal(sig os.Signal) {
	s.t.Helper()
	s.process.Signal(s.t, sig)
}

// exit waits for the end of the process.
func (s *service) exit() (code int) {
	s.t.Helper()
	code = s.process.Exit(s.t)
	if len(s.successors) == 0 {
		s.reading.Wait() // all that it said is there
	}
	return code
}

// stop does what systemctl stop does.
func (s *service) stop() (code int) {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	return s.exit()
}

func (s *service) wantExit(code int) {
	s.t.Helper()
	if got := s.exit(); got != code {
		s.t.Errorf("exit code %d, want %d; its log:\n%s", got, code, s.log.Text())
	}
}

// end kills what is left of the processes.
func (s *service) end() {
	for _, pid := range append(s.successors, int(s.mainPID.Load())) {
		if pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
	}
	s.reading.Wait()
	if s.t.Failed() {
		s.t.Logf("the log:\n%s\nthe notifications:\n%s", s.log.Text(), s.notes.Text())
	}
}

// url returns the URL of the first socket.
func (s *service) url() string { return s.unit.sockets[0].URL() }

// command runs another command of the program beside the service.
func (s *service) command(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	return s.commandAs(nil, args...)
}

// commandAsNobody is command without permission for the admin socket.
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
