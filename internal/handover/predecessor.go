package handover

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Predecessor is the process that started this one to take over.
type Predecessor struct {
	// Listeners are those it serves on, under the names it knows them by.
	Listeners []Listener

	channel net.Conn
}

// Inherit takes over what a predecessor passed, and removes the variable that says so
// from the environment. Without a predecessor it gives nil. It can be called once.
func Inherit() (*Predecessor, error) {
	value, ok := os.LookupEnv(variable)
	if !ok {
		return nil, nil //nolint:nilnil // that there is none is no error
	}
	_ = os.Unsetenv(variable) // cannot fail on Linux
	parent, list, _ := strings.Cut(value, ":")
	pid, err := strconv.Atoi(parent)
	if err != nil {
		return nil, fmt.Errorf("taking over listeners: %s is %q", variable, value)
	}
	if pid != os.Getppid() {
		return nil, nil //nolint:nilnil // it was for another process
	}
	var names []string
	if list != "" {
		names = strings.Split(list, ":")
	}
	return inherit(names)
}

func inherit(names []string) (*Predecessor, error) {
	files := make([]*os.File, len(names)+1)
	for i := range files {
		fd := firstDescriptor + i
		syscall.CloseOnExec(fd)
		files[i] = os.NewFile(uintptr(fd), variable)
		defer files[i].Close() //nolint:errcheck // what is kept has a descriptor of its own
	}
	channel, err := net.FileConn(files[len(names)])
	if err != nil {
		return nil, fmt.Errorf("finding the process before this one: %w", err)
	}
	listeners, err := listen(names, files[:len(names)])
	if err != nil {
		_ = channel.Close()
		return nil, err
	}
	return &Predecessor{Listeners: listeners, channel: channel}, nil
}

// listen makes listeners: all of them or none.
func listen(names []string, files []*os.File) ([]Listener, error) {
	listeners := make([]Listener, 0, len(files))
	for i, f := range files {
		l, err := net.FileListener(f)
		if err != nil {
			for _, open := range listeners {
				_ = open.Close() // the error that counts is the one above
			}
			return nil, fmt.Errorf("taking over the listener %q: %w", names[i], err)
		}
		if unix, ok := l.(*net.UnixListener); ok {
			unix.SetUnlinkOnClose(false) // the file is for whoever listens next
		}
		listeners = append(listeners, Listener{Name: names[i], Listener: l})
	}
	return listeners, nil
}

// AwaitRelease tells the predecessor that this process serves, and returns when it has
// been told to take over. A predecessor that is gone cannot say so any more: that is the
// same.
func (p *Predecessor) AwaitRelease() {
	if _, err := p.channel.Write([]byte(readyMessage)); err != nil {
		return
	}
	_ = expect(p.channel, releaseMessage)
}

// PassOn tells the predecessor, if there still is one, that this process has handed over
// in its turn.
func (p *Predecessor) PassOn() {
	_, _ = p.channel.Write([]byte(passedMessage)) // it may have ended long ago
	_ = p.channel.Close()
}

// Close ends the wait of AwaitRelease.
func (p *Predecessor) Close() error { return p.channel.Close() }
