package host

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// DialContext connects as a program inside the host does. The address must be numeric. It suits
// http.Transport.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return inNetwork(h, func() (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	})
}

// Listen opens a socket that programs inside the host reach, such as 127.0.0.1:443. A server out
// here can thus be a part of the host's network.
func (h *Host) Listen(network, address string) (net.Listener, error) {
	return inNetwork(h, func() (net.Listener, error) { return net.Listen(network, address) })
}

// inNetwork opens a socket in the network namespace of the host; it stays there for every user of
// it (network_namespaces(7)). The thread that went in is not used again: it ends with the goroutine
// that it is locked to.
func inNetwork[S any](h *Host, open func() (S, error)) (S, error) {
	type result struct {
		socket S
		err    error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		var r result
		if r.err = h.enterNetwork(); r.err == nil {
			r.socket, r.err = open()
		}
		done <- r
	}()
	r := <-done
	return r.socket, r.err
}

func (h *Host) enterNetwork() error {
	f, err := os.Open("/proc/" + strconv.Itoa(h.leader) + "/ns/net")
	if err != nil {
		return fmt.Errorf("entering the host's network: %w", err)
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering the host's network: %w", err)
	}
	return nil
}

// ListenUnix listens on a socket file in the host, which every user there may use. The path must
// have no links in it; its folder must exist.
func (h *Host) ListenUnix(path string) (net.Listener, error) {
	outside := "/proc/" + strconv.Itoa(h.leader) + "/root" + path
	l, err := net.Listen("unix", outside)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(outside, 0o666); err != nil { //nolint:gosec // as tailscaled's
		_ = l.Close()
		return nil, err
	}
	return l, nil
}
