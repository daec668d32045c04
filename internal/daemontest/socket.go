package daemontest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Socket is a listening socket as a socket unit holds it: it stays while processes come and go.
type Socket struct {
	name     string
	listener net.Listener
	file     *os.File
}

// Listen holds a socket on loopback.
func Listen(t *testing.T, name string) *Socket {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return Hold(t, name, l)
}

// Hold holds a socket that listens elsewhere, to the end of the test.
func Hold(t *testing.T, name string, l net.Listener) *Socket {
	t.Helper()
	f, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	s := &Socket{name: name, listener: l, file: f}
	t.Cleanup(s.Close)
	return s
}

// Close leaves the socket to the processes that have it, or refuses who connects.
func (s *Socket) Close() {
	_ = s.file.Close() // it may be closed
	_ = s.listener.Close()
}

// Addr is where it listens.
func (s *Socket) Addr() string { return s.listener.Addr().String() }

// URL is the base URL there.
func (s *Socket) URL() string { return "http://" + s.Addr() }

// Activate has a command inherit sockets as systemd passes them, see sd_listen_fds(3). Only a
// process itself can say its id before it begins: a shell does, and becomes it.
func Activate(cmd *exec.Cmd, sockets ...*Socket) {
	if len(sockets) == 0 {
		return
	}
	shell := exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`}, cmd.Args...)...)
	cmd.Path, cmd.Args, cmd.Err = shell.Path, shell.Args, shell.Err
	var names []string
	for _, s := range sockets {
		cmd.ExtraFiles = append(cmd.ExtraFiles, s.file)
		names = append(names, s.name)
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("LISTEN_FDS=%d", len(names)))
	if all := strings.Join(names, ":"); strings.Trim(all, ":") != "" {
		cmd.Env = append(cmd.Env, "LISTEN_FDNAMES="+all)
	}
}
