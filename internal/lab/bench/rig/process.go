package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// patience bounds what takes far less unless something hangs.
const patience = 20 * time.Second

// Program is what to run, and on which core; a negative core means any.
type Program struct {
	Args []string
	Env  []string // beside PATH
	Core int
	Log  string // file that gets what it says
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
	if p.Core >= 0 {
		args = append([]string{"taskset", "-c", strconv.Itoa(p.Core)}, args...)
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
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.Args[0], err)
	}
	process := &Process{PID: cmd.Process.Pid, log: p.Log, cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // its end is all that matters
		close(process.exited)
	}()
	return process, nil
}

// Stop ends it, by force if it does not end by itself, and all that it started.
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
