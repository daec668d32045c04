package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// variable has the id of the process that passes listeners, and their names,
	// separated by colons. The descriptors begin at firstDescriptor; after the last
	// listener comes the socket to that process.
	variable        = "OAUTH_PROXYD_HANDOVER"
	firstDescriptor = 3

	// The sentences that are spoken, in this order: the successor's, ours, and, if it
	// hands over in its turn, the successor's last one.
	readyMessage   = "ready\n"
	releaseMessage = "yours\n"
	passedMessage  = "passed on\n"
)

// Listener is a listening socket with the name it is known under.
type Listener struct {
	Name string
	net.Listener
}

// Config says how to start a successor.
type Config struct {
	Path      string   // of the program
	Args      []string // the whole command line, the name of the program included
	Env       []string
	Listeners []Listener // TCP or Unix
}

// Successor is a process that was started to take over.
type Successor struct {
	command   *exec.Cmd
	channel   net.Conn
	names     []string
	listeners []*os.File // of our own, so that we can listen again
	ended     chan struct{}
	err       error // how it ended; read after ended
}

// Start begins a successor. Its output is ours. The listeners stay as they are.
func Start(c Config) (*Successor, error) {
	s := &Successor{ended: make(chan struct{})}
	for _, l := range c.Listeners {
		f, err := duplicate(l)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("passing on the listener %q: %w", l.Name, err)
		}
		s.listeners = append(s.listeners, f)
		s.names = append(s.names, l.Name)
	}
	if err := s.start(c); err != nil {
		s.Close()
		return nil, fmt.Errorf("starting %s: %w", c.Path, err)
	}
	return s, nil
}

func (s *Successor) start(c Config) error {
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer theirs.Close() //nolint:errcheck // the process has its own, or there is none
	s.channel = ours
	s.command = &exec.Cmd{
		Path: c.Path, Args: c.Args, Stdout: os.Stdout, Stderr: os.Stderr,
		Env:        append(c.Env, variable+"="+strings.Join(append([]string{strconv.Itoa(os.Getpid())}, s.names...), ":")),
		ExtraFiles: append(append([]*os.File(nil), s.listeners...), theirs),
	}
	if err := s.command.Start(); err != nil {
		return err
	}
	go func() {
		defer close(s.ended)
		s.err = s.command.Wait()
	}()
	return nil
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
func (s *Successor) PID() int { return s.command.Process.Pid }

// AwaitReady returns nil when the successor serves, and an error when it is sure that
// it will not, or ctx ends.
func (s *Successor) AwaitReady(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.channel.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err := expect(s.channel, readyMessage)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("the new process does not serve: %w", context.Cause(ctx))
	}
	select { // it has closed its end: most likely by leaving
	case <-s.ended:
		return s.Wait()
	case <-ctx.Done():
		return fmt.Errorf("the new process cannot take over: %w", err)
	}
}

// Release tells the successor that what there is one of is its from now on.
func (s *Successor) Release() error {
	if _, err := s.channel.Write([]byte(releaseMessage)); err != nil {
		return fmt.Errorf("telling the new process that it serves: %w", err)
	}
	return nil
}

// Follow returns when the process has handed over in its turn, so that its end means
// nothing any more, or has ended.
func (s *Successor) Follow() (passedOn bool) {
	if expect(s.channel, passedMessage) == nil {
		return true
	}
	<-s.ended // it has closed its end: it is leaving
	return false
}

// Wait returns when the process has ended: nil after exit code 0.
func (s *Successor) Wait() error {
	<-s.ended
	if s.err == nil {
		return nil
	}
	if s.ExitCode() >= 0 {
		return fmt.Errorf("the new process left with exit code %d", s.ExitCode())
	}
	return fmt.Errorf("the new process ended: %w", s.err)
}

// ExitCode is that of a process that has ended, or -1 if a signal ended it.
func (s *Successor) ExitCode() int { return s.command.ProcessState.ExitCode() }

// Ended is closed when the process has ended.
func (s *Successor) Ended() <-chan struct{} { return s.ended }

// Signal sends sig to the process; one that has ended is no error.
func (s *Successor) Signal(sig os.Signal) error {
	if err := s.command.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signalling the new process: %w", err)
	}
	return nil
}

// Listeners opens the passed listeners anew, for a process that has closed its own.
func (s *Successor) Listeners() ([]Listener, error) { return listen(s.names, s.listeners) }

// Close lets go of the listeners kept and of the way to the process, not of the process.
func (s *Successor) Close() {
	for _, f := range s.listeners {
		_ = f.Close() // what it names stays open elsewhere
	}
	if s.channel != nil {
		_ = s.channel.Close()
	}
}

// expect reads exactly message.
func expect(c net.Conn, message string) error {
	got := make([]byte, len(message))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != message {
		return fmt.Errorf("it says %q", got)
	}
	return nil
}
