package systemd

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// Predecessor is the process that started this one to take over.
type Predecessor struct {
	// Listeners are those it serves on, under the names it knows them by.
	Listeners []Listener

	channel net.Conn
}

// InheritFromPredecessor takes over what a predecessor passed, and removes the variable that says so
// from the environment. Without a predecessor it returns nil. It can be called once.
func InheritFromPredecessor() (*Predecessor, error) {
	value, ok := os.LookupEnv(handoverVariable)
	if !ok {
		return nil, nil //nolint:nilnil // having no predecessor is no error
	}
	_ = os.Unsetenv(handoverVariable) // cannot fail on Linux
	var names []string
	if value != "" {
		names = strings.Split(value, ":")
	}
	files := make([]*os.File, len(names)+1)
	for i := range files {
		fd := firstSocket + i
		syscall.CloseOnExec(fd)
		files[i] = os.NewFile(uintptr(fd), handoverVariable)
		defer files[i].Close() //nolint:errcheck // what is kept has a descriptor of its own
	}
	channel, err := net.FileConn(files[len(names)])
	if err != nil {
		return nil, fmt.Errorf("finding the process before this one: %w", err)
	}
	listeners, err := listenOn(names, files[:len(names)])
	if err != nil {
		_ = channel.Close()
		return nil, err
	}
	return &Predecessor{Listeners: listeners, channel: channel}, nil
}

// listenOn makes listeners: all of them or none.
func listenOn(names []string, files []*os.File) ([]Listener, error) {
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

// AwaitRelease tells the predecessor that this process serves, and returns when it hands
// over, with its version. If the predecessor is gone, this process takes over too, and the
// version is empty.
func (p *Predecessor) AwaitRelease() (version string) {
	if _, err := p.channel.Write([]byte(readyMessage)); err != nil {
		return ""
	}
	line, err := bufio.NewReader(p.channel).ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(strings.TrimSuffix(line, "\n"), releaseMessage)
}

// GiveUp tells the predecessor why this process leaves without having taken over.
func (p *Predecessor) GiveUp(why string) {
	why = strings.ReplaceAll(why, "\n", " ")
	_, _ = fmt.Fprintf(p.channel, "%s%s\n", failedMessage, why) // it sees our end in any case
}

// Close ends the wait of AwaitRelease.
func (p *Predecessor) Close() error { return p.channel.Close() }
