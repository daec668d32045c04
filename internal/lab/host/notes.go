package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// notes is what the supervisor tells a service manager (sd_notify(3)): here, that is this process.
type notes struct{ socket *net.UnixConn }

// listenNotes opens a socket without a file, so none must be removed.
func listenNotes() (notes, error) {
	// An empty name has the kernel choose one, see autobind in unix(7).
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"})
	if err != nil {
		return notes{}, fmt.Errorf("listening for the supervisor: %w", err)
	}
	return notes{socket}, nil
}

func (n notes) address() string { return n.socket.LocalAddr().String() }

func (n notes) close() { _ = n.socket.Close() }

// await returns the host's first process when the host is up. It gives up when the supervisor has
// ended or the context has.
func (n notes) await(ctx context.Context, ended <-chan struct{}) (leader int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { _ = n.socket.SetReadDeadline(time.Unix(1, 0)) })()
	go func() {
		select {
		case <-ended:
			cancel(errors.New("the supervisor ended"))
		case <-ctx.Done():
		}
	}()
	message := make([]byte, 4096)
	for {
		size, err := n.socket.Read(message)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return leader, cause
			}
			return leader, fmt.Errorf("listening to the supervisor: %w", err)
		}
		for line := range strings.Lines(string(message[:size])) {
			line = strings.TrimSuffix(line, "\n")
			if id, ok := strings.CutPrefix(line, "X_NSPAWN_LEADER_PID="); ok {
				if leader, err = strconv.Atoi(id); err != nil {
					return 0, fmt.Errorf("reading the supervisor's message: %w", err)
				}
			}
			if line == "READY=1" && leader != 0 {
				return leader, nil
			}
		}
	}
}
