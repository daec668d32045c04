package daemontest

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Patience is how long a test waits for anything. A busy machine is slow.
const Patience = time.Minute

// Process is a process that a test started. It ends with the test.
type Process struct {
	PID    int
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start starts a command.
func Start(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Process{PID: cmd.Process.Pid, cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // Exit returns the exit code
		close(p.exited)
	}()
	t.Cleanup(p.end)
	return p
}

// Signal fails the test if the process has ended.
func (p *Process) Signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("signal %v: %v", sig, err)
	}
}

// Exit waits until the process ends, and returns its exit code: -1 after a signal.
func (p *Process) Exit(t *testing.T) (code int) {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(Patience):
		t.Fatalf("%s does not end", p.cmd.Path)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Stop stops the process as systemctl does.
func (p *Process) Stop(t *testing.T) (code int) {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	return p.Exit(t)
}

func (p *Process) end() {
	p.endForCoverage()
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

// endForCoverage lets the process end on its own, because a killed one writes no coverage.
func (p *Process) endForCoverage() {
	if os.Getenv("GOCOVERDIR") == "" {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // the second one cuts the drain
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second): // more than it takes
	}
}

// Eventually polls until is returns true, and fails the test after [Patience].
func Eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(Patience)
	for !is() {
		select {
		case <-ticker.C:
		case <-late:
			t.Fatalf("still not: %s", what)
		}
	}
}

// TempDir makes a directory that other users may enter, with a path short enough for sockets.
func TempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "op")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })  // it is in the temporary directory
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // other users enter it
		t.Fatal(err)
	}
	return dir
}
