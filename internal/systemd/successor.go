package systemd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// handoverVariable has the names of the listeners, separated by colons. Their descriptors
	// begin at firstSocket; after the last one comes the socket to the predecessor.
	handoverVariable = "OAUTH_PROXYD_HANDOVER"

	// The lines that are spoken: by the successor one of the first two, then by the
	// predecessor the third.
	readyMessage   = "ready\n"
	failedMessage  = "failed: "
	releaseMessage = "yours, from "

	// killTimeout is how long a killed process may take to be gone.
	killTimeout = time.Second
)

// Program says how to start a successor.
type Program struct {
	Path      string   // of the program
	Args      []string // the whole command line, the name of the program included
	Env       []string
	Listeners []Listener // TCP or Unix
}

// Successor is a process that was started to take over.
type Successor struct {
	pid     int
	process *os.Process
	channel net.Conn
	said    *bufio.Reader // on the channel
}

// StartSuccessor begins a process that is to take over. Its output and its parent are those of
// this process. The listeners stay as they are.
func StartSuccessor(c Program) (*Successor, error) {
	var names []string
	var files []*os.File
	defer func() {
		for _, f := range files {
			_ = f.Close() // the process has its own, or there is none
		}
	}()
	for _, l := range c.Listeners {
		f, err := duplicate(l)
		if err != nil {
			return nil, fmt.Errorf("passing on the listener %q: %w", l.Name, err)
		}
		files, names = append(files, f), append(names, l.Name)
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Path, err)
	}
	files = append(files, theirs)
	command := &exec.Cmd{
		Path: c.Path, Args: c.Args, Stdout: os.Stdout, Stderr: os.Stderr,
		Env:         append(c.Env, handoverVariable+"="+strings.Join(names, ":")),
		ExtraFiles:  files,
		SysProcAttr: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_PARENT},
	}
	if err := command.Start(); err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("starting %s: %w", c.Path, err)
	}
	return &Successor{pid: command.Process.Pid, process: command.Process, channel: ours, said: bufio.NewReader(ours)}, nil
}

// duplicate gives a descriptor of its own for the socket of l. That of its method File
// would turn blocking, and the listener with it, as soon as a process is started with it.
func duplicate(l Listener) (*os.File, error) {
	socket, ok := l.Listener.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("a listener of type %T has no descriptor", l.Listener)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	var copied int
	var failed error
	err = raw.Control(func(fd uintptr) {
		syscall.ForkLock.RLock() // no process may start between the two calls
		defer syscall.ForkLock.RUnlock()
		if copied, failed = syscall.Dup(int(fd)); failed == nil {
			syscall.CloseOnExec(copied)
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(copied), l.Name), nil
}

// socketPair gives both ends, the second to be passed on.
func socketPair() (ours net.Conn, theirs *os.File, err error) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs = os.NewFile(uintptr(ends[1]), "handover")
	f := os.NewFile(uintptr(ends[0]), "handover")
	defer f.Close() //nolint:errcheck // the connection has its own
	if ours, err = net.FileConn(f); err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// PID is its process id.
func (s *Successor) PID() int { return s.pid }

// AwaitReady returns nil when the successor serves, and an error when it is sure that
// it will not, or ctx ends.
func (s *Successor) AwaitReady(ctx context.Context) error {
	line, err := s.read(ctx)
	switch {
	case err == nil && line == readyMessage:
		return nil
	case err == nil:
		why := strings.TrimPrefix(strings.TrimSuffix(line, "\n"), failedMessage)
		return fmt.Errorf("the new process does not serve: %s", why)
	case ctx.Err() != nil:
		return fmt.Errorf("the new process does not serve: %w", context.Cause(ctx))
	}
	return errors.New("the new process ended before it served")
}

// Try returns nil if the successor, which serves, lives for another d.
func (s *Successor) Try(ctx context.Context, d time.Duration) error {
	trial, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	if _, err := s.read(trial); errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	return errors.New("the new process ended as soon as it served")
}

// Release hands over to the successor. It is told the version of this process.
func (s *Successor) Release(version string) error {
	defer s.close()
	if _, err := fmt.Fprintf(s.channel, "%s%s\n", releaseMessage, version); err != nil {
		return fmt.Errorf("telling the new process to take over: %w", err)
	}
	return nil
}

// Stop asks the process to leave.
func (s *Successor) Stop() { _ = s.process.Signal(syscall.SIGTERM) } // it may have ended

// End has the process leave, and kills it if it takes longer than patience.
func (s *Successor) End(patience time.Duration) {
	defer s.close()
	s.Stop()
	if !s.ends(patience) {
		_ = s.process.Kill() // it may have ended now
		s.ends(killTimeout)
	}
}

// ends reports whether the process closes its end of the channel within d.
func (s *Successor) ends(d time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for {
		switch _, err := s.read(ctx); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return false
		case err != nil:
			return true
		}
	}
}

// read gives the next line of the successor. When ctx ends, the error is
// os.ErrDeadlineExceeded.
func (s *Successor) read(ctx context.Context) (string, error) {
	_ = s.channel.SetReadDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = s.channel.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	line, err := s.said.ReadSlice('\n') // no longer than the buffer
	return string(line), err
}

func (s *Successor) close() {
	_ = s.channel.Close()
	_ = s.process.Release() // systemd waits for it, not this process
}
