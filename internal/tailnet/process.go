package tailnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"oauth-proxyd/internal/kernel"
)

// ErrNoDaemon means that no tailscaled runs on this host, as far as this process can see.
var ErrNoDaemon = errors.New("no tailscaled runs on this host")

// Process is a tailscaled process on this host.
type Process struct {
	// PID is its process ID; 0 if it listens on another socket than the configured one, and -1 if
	// it is in another PID namespace, such as outside our container.
	PID int

	// UIDs are the users that it may run as: its own user, or, if the configured socket has no
	// listener, the owners of all other sockets named tailscaled.sock.
	UIDs []uint32
}

// Process asks the kernel which process listens on tailscaled's socket. tailscaled itself is not
// asked, so one that hangs is found, too. The error is ErrNoDaemon if no process listens there or
// on another socket named tailscaled.sock. After any other error the process is unknown.
func (c *Client) Process(ctx context.Context) (Process, error) { return c.processes.get(ctx) }

func (c *Client) findProcess(ctx context.Context) (Process, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", c.socket)
	if last := c.process.Load(); isAbsent(err) && last != nil && last.runs() {
		return *last, nil // it closes its socket first, and may deliver peers' connections until it ends
	}
	if isAbsent(err) {
		return otherProcess(c.socket)
	}
	if err != nil {
		return Process{}, fmt.Errorf("connecting to tailscaled: %w", err)
	}
	defer conn.Close() //nolint:errcheck // nothing was written to it
	found, err := listenerOf(conn.(*net.UnixConn))
	if err != nil {
		return Process{}, fmt.Errorf("reading tailscaled's credentials: %w", err)
	}
	c.process.Store(&found)
	return found, nil
}

// runs reports whether the process exists. Any user may ask (kill(2)).
func (p Process) runs() bool { return p.PID > 0 && !errors.Is(unix.Kill(p.PID, 0), unix.ESRCH) }

// listenerOf returns the process that listens at the other end of conn.
func listenerOf(conn *net.UnixConn) (Process, error) {
	cred, err := kernel.PeerCredentials(conn)
	if err != nil {
		return Process{}, err
	}
	pid := int(cred.Pid)
	if pid == 0 {
		pid = -1 // the kernel has no number for it in our namespace (pid_namespaces(7))
	}
	return Process{PID: pid, UIDs: []uint32{cred.Uid}}, nil
}

// otherProcess looks for a tailscaled on another socket, in case the configured path is wrong. It
// reads /proc/net/unix, whose lines end in flags, type, state, inode and path (proc_net(5)).
func otherProcess(asked string) (Process, error) {
	const acceptsConnections = "00010000" // __SO_ACCEPTCON
	const flagsField, pathField = 3, 7
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return Process{}, fmt.Errorf("looking for other sockets of tailscaled: %w", err)
	}
	var p Process
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) <= pathField || fields[flagsField] != acceptsConnections {
			continue
		}
		path := strings.Join(fields[pathField:], " ")
		if filepath.Base(path) == "tailscaled.sock" && path != asked {
			p.UIDs = append(p.UIDs, ownersOf(path)...)
		}
	}
	if len(p.UIDs) == 0 {
		return Process{}, ErrNoDaemon
	}
	return p, nil
}

// ownersOf returns the possible owners of a file. If the file is out of reach, that is root, or any
// user without a number in our user namespace (user_namespaces(7)).
func ownersOf(path string) []uint32 {
	const overflowUID = 65534
	var info unix.Stat_t
	if unix.Stat(path, &info) != nil {
		return []uint32{0, overflowUID}
	}
	return []uint32{info.Uid}
}
