package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds what takes far less unless something hangs.
const patience = 20 * time.Second

// Program is what to run.
type Program struct {
	Args  []string
	Env   []string // beside PATH
	Place Place
	Log   string // file that gets what it says
}

// Place is how the kernel runs a program.
type Place struct {
	Cores string        // as taskset reads them, "0" or "0,1"; empty: any
	Slack time.Duration // by which timers may be late (PR_SET_TIMERSLACK); 0: the kernel's 50 µs
}

// Process is a program that runs.
type Process struct {
	PID    int
	log    string
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start runs a program until Stop.
func Start(p Program) (*Process, error) {
	args := p.Args
	if p.Place.Cores != "" {
		args = append([]string{"taskset", "-c", p.Place.Cores}, args...)
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child has its own
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, p.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	// What comes from the terminal is for the harness, which stops it in its turn.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := startWithSlack(cmd, p.Place.Slack); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.Args[0], err)
	}
	process := &Process{PID: cmd.Process.Pid, log: p.Log, cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // its end is all that matters
		close(process.exited)
	}()
	return process, nil
}

// startWithSlack starts cmd with the timer slack of a unit with TimerSlackNSec=. A child inherits
// that of the thread that forks it.
func startWithSlack(cmd *exec.Cmd, slack time.Duration) error {
	if slack == 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0); err != nil {
		return fmt.Errorf("setting the timer slack: %w", err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) }() // 0 restores the default
	return cmd.Start()
}

// Stop ends it, by force if it does not end on its own, and all that it started.
func (p *Process) Stop() {
	_ = syscall.Kill(-p.PID, syscall.SIGTERM) // it may have ended
	select {
	case <-p.exited:
	case <-time.After(patience):
	}
	_ = syscall.Kill(-p.PID, syscall.SIGKILL) // likewise, and its children
	<-p.exited
}

// Signal sends one to the process itself.
func (p *Process) Signal(s syscall.Signal) error { return syscall.Kill(p.PID, s) }

// AwaitPort waits until the program takes connections.
func (p *Process) AwaitPort(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-p.exited:
			return fmt.Errorf("it ended: %s", p.said())
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// said is the end of its log.
func (p *Process) said() string {
	const most = 2 << 10
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// FreePort finds one that nobody listens on. Another may take it before the program does, which
// then says so.
func FreePort() (string, error) {
	l, err := listen()
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
