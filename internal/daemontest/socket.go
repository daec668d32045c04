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

// Listen opens a socket on loopback.
func Listen(t *testing.T, name string) *Socket {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return Hold(t, name, l)
}

// Hold makes a listener a Socket, until the test ends.
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

// Close leaves the socket to the processes that have inherited it. Without one, it refuses
// connections.
func (s *Socket) Close() {
	_ = s.file.Close() // it may be closed
	_ = s.listener.Close()
}

// Addr returns the address of the socket.
func (s *Socket) Addr() string { return s.listener.Addr().String() }

// URL returns the base URL for requests to the socket.
func (s *Socket) URL() string { return "http://" + s.Addr() }

// Activate passes sockets to a command as systemd does, see sd_listen_fds(3). Only the process
// itself knows its ID before the program starts, so a shell sets LISTEN_PID and then becomes the
// program.
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
