package systemd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// handoverVariable has the names of the listeners, separated by colons. Their descriptors begin at
// firstSocket, and the channel to the predecessor follows them.
const handoverVariable = "OAUTH_PROXYD_HANDOVER"

// killTimeout is how long a killed process may take to be gone.
const killTimeout = time.Second

// Message is what one process writes to the other, as JSON. The predecessor writes TakeOver, then
// Report. The successor writes Done when it is ready to take over, and in response to TakeOver;
// Failed instead of Done says why it ends.
type Message struct {
	Done     bool            `json:"done,omitempty"`
	Failed   string          `json:"failed,omitempty"`
	TakeOver json.RawMessage `json:"take_over,omitempty"` // what the predecessor remembered
	Report   json.RawMessage `json:"report,omitempty"`    // the requests that it still has
}

// channel is one end of the socket pair between two processes.
type channel struct {
	net.Conn
	*json.Decoder
	*json.Encoder
}

func newChannel(c net.Conn) channel { return channel{c, json.NewDecoder(c), json.NewEncoder(c)} }

func (c channel) read() (m Message, err error) { return m, c.Decode(&m) }

// Successor is the process that takes over, as its predecessor sees it.
type Successor struct {
	PID     int
	process *os.Process
	channel channel
}

// StartSuccessor starts a process that can take over the listeners, which stay usable here. The
// command has its path, arguments and environment. The process has the parent and the output of
// this one.
func StartSuccessor(command *exec.Cmd, listeners []Listener) (*Successor, error) {
	var names []string
	var files []*os.File
	defer func() {
		for _, f := range files {
			_ = f.Close() // the new process has its own
		}
	}()
	for _, l := range listeners {
		f, err := duplicate(l)
		if err != nil {
			return nil, fmt.Errorf("passing on the listener %q: %w", l.Name, err)
		}
		files, names = append(files, f), append(names, l.Name)
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", command.Path, err)
	}
	files = append(files, theirs)
	command.Stdout, command.Stderr, command.ExtraFiles = os.Stdout, os.Stderr, files
	command.Env = append(command.Env, handoverVariable+"="+strings.Join(names, ":"))
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_PARENT}
	if err := command.Start(); err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("starting %s: %w", command.Path, err)
	}
	return &Successor{command.Process.Pid, command.Process, newChannel(ours)}, nil
}

// duplicate returns a descriptor of the socket of l. The one of the listener's method File is not
// used: package os makes it blocking when it starts a process with it, and so the listener too.
func duplicate(l Listener) (*os.File, error) {
	raw, err := l.Listener.(syscall.Conn).SyscallConn() // every listener of package net is one
	if err != nil {
		return nil, err
	}
	var copied int
	var dupErr error
	err = raw.Control(func(fd uintptr) { copied, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, firstSocket) })
	if err = cmp.Or(err, dupErr); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(copied), l.Name), nil
}

// socketPair returns both ends of a channel, the second to be passed to the new process.
func socketPair() (ours net.Conn, theirs *os.File, err error) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs = os.NewFile(uintptr(ends[1]), "handover")
	if ours, err = connectionAt(ends[0]); err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

func connectionAt(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "handover")
	defer f.Close() //nolint:errcheck // the connection has its own
	return net.FileConn(f)
}

// AwaitReady returns nil when the process is ready to take over. It returns an error when the
// process failed or ended, or ctx ended.
func (s *Successor) AwaitReady(ctx context.Context) error {
	return s.await(ctx, "the new process ended before it served")
}

// TakeOver passes on the memory of this process, and returns nil when the new one serves. It waits
// as long as the new one lives: that is the main process of the service by now, which only systemd
// may end.
func (s *Successor) TakeOver(ctx context.Context, memory any) error {
	stop := context.AfterFunc(ctx, func() { _ = s.channel.SetWriteDeadline(time.Unix(1, 0)) })
	_ = s.channel.Encode(map[string]any{"take_over": memory}) // if the process has ended, await sees it
	stop()
	return s.await(ctx, "the new process ended as soon as it served")
}

// Report tells the process what requests this one still has, after TakeOver.
func (s *Successor) Report(report any) error {
	return s.channel.Encode(map[string]any{"report": report})
}

// Kill ends a process that has not taken over, which has no connections, and waits for its end.
func (s *Successor) Kill() {
	defer s.Close()
	_ = s.process.Kill() // it may have ended
	_ = s.channel.SetReadDeadline(time.Now().Add(killTimeout))
	_, _ = io.Copy(io.Discard, s.channel)
}

// Close closes the channel. The process then takes this one for ended.
func (s *Successor) Close() {
	_ = s.channel.Close()
	_ = s.process.Release() // systemd waits for it
}

// await waits for Done. The text ended is the error if the process has ended.
func (s *Successor) await(ctx context.Context, ended string) error {
	stop := context.AfterFunc(ctx, func() { _ = s.channel.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	m, err := s.channel.read()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("the new process does not serve: %w", context.Cause(ctx))
	case err != nil:
		return errors.New(ended)
	case m.Failed != "":
		return fmt.Errorf("the new process does not serve: %s", m.Failed)
	}
	return nil
}

// Predecessor is the process before, as its successor sees it, until it ends.
type Predecessor struct{ channel channel }

// predecessorAt takes over the channel to the predecessor.
func predecessorAt(fd int) (*Predecessor, error) {
	c, err := connectionAt(fd)
	if err != nil {
		return nil, fmt.Errorf("taking over the channel to the predecessor: %w", err)
	}
	return &Predecessor{newChannel(c)}, nil
}

// Next waits for the next message. An error means that the predecessor has ended, or that Close was
// called.
func (p *Predecessor) Next() (Message, error) { return p.channel.read() }

// Done tells the predecessor that this process is ready, or has done what the last message asked.
// An error is ignored, because the predecessor has ended then.
func (p *Predecessor) Done() { _ = p.channel.Encode(Message{Done: true}) }

// Fail tells the predecessor why this process does not take over.
func (p *Predecessor) Fail(why string) { _ = p.channel.Encode(Message{Failed: why}) }

// Close closes the channel.
func (p *Predecessor) Close() { _ = p.channel.Close() }
