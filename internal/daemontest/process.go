package daemontest

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Patience is how long anything may take that is to happen. A busy machine is slow.
const Patience = time.Minute

// Process is one that a test started. It does not outlive it.
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
		_ = cmd.Wait() // the exit code tells
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

// Exit waits for the end and returns the exit code, -1 after a signal.
func (p *Process) Exit(t *testing.T) (code int) {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(Patience):
		t.Fatalf("%s does not end", p.cmd.Path)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Stop is what systemctl stop does.
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

// endForCoverage has the process end on its own: a killed one writes nothing of what it went
// through.
func (p *Process) endForCoverage() {
	if os.Getenv("GOCOVERDIR") == "" {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // at once
	select {
	case <-p.exited:
	case <-time.After(drainTime):
	}
}

// drainTime is more than a process takes to end.
const drainTime = 10 * time.Second

// Eventually waits for what cannot be waited on otherwise.
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

// TempDir has a path that is short enough for sockets in it, and others may enter.
func TempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "op")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })  // it lies in the folder for such things
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // said above
		t.Fatal(err)
	}
	return dir
}
