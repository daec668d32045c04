// Package kernel asks the kernel about sockets: what a connection holds, whether its peer has hung
// up, which process or user is at the other end, and which addresses are this host's; and how many
// this process may have.
//
//	kernel.go   questions about a connection of this process
//	owner.go    the user of another socket on this host (sock_diag)
//	netlink.go  whether an address is one of this host's (rtnetlink)
//
// No function here reads from a connection or waits for its peer:
//
//	if kernel.HungUp(c) { … }      // notices a FIN behind unread bytes, which a read does not
//	left := kernel.Unsent(c)       // -1: not a kernel socket, or closed
//	uid, found, err := kernel.SocketOwner(local, remote)
package kernel

import (
	"cmp"
	"errors"
	"math"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// MaxFiles returns how many file descriptors this process may have (RLIMIT_NOFILE, getrlimit(2)).
func MaxFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(limit.Cur) //nolint:gosec // it fits
}

// Unsent returns how many written bytes the peer's kernel has not acknowledged yet; -1 if unknown.
func Unsent(c net.Conn) int { return queued(c, unix.SIOCOUTQ) }

// Unread returns how many bytes have come and were not read yet; -1 if unknown.
func Unread(c net.Conn) int { return queued(c, unix.SIOCINQ) }

// Peek copies bytes that have come to p and leaves them unread. It returns their number, which is 0
// if there are none or c is not a kernel socket.
func Peek(c net.Conn, p []byte) (n int) {
	_ = control(c, func(fd int) { // 0 if it fails
		n, _, _ = unix.Recvfrom(fd, p, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	return max(n, 0)
}

// HungUp reports whether the peer closed or reset the connection, or its sending side; false if
// unknown. Bytes that it sent before may still have to be read. A connection that was closed here
// has hung up, too.
func HungUp(c net.Conn) bool { return poll(c, unix.POLLRDHUP) }

// Readable reports whether a read would return at once, with bytes or an end; false if unknown.
func Readable(c net.Conn) bool { return poll(c, unix.POLLIN) }

// TCPInfo returns the state and counters of a TCP connection (tcp(7)); zero if unknown.
func TCPInfo(c net.Conn) unix.TCPInfo {
	info := new(unix.TCPInfo)
	_ = control(c, func(fd int) { // zero if it fails
		info, _ = unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	return *info
}

// PeerCredentials returns the process at the other end of a Unix socket (SO_PEERCRED, unix(7)).
func PeerCredentials(c net.Conn) (credentials *unix.Ucred, err error) {
	failed := control(c, func(fd int) {
		credentials, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return credentials, cmp.Or(failed, err)
}

// errNotASocket is the error for a connection without a socket, such as [net.Pipe]'s.
var errNotASocket = errors.New("the connection is not a socket")

// control calls ask with the file descriptor of c. It fails if c is not a socket or is closed.
func control(c net.Conn, ask func(fd int)) error {
	socket, ok := c.(syscall.Conn)
	if !ok {
		return errNotASocket
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { ask(int(fd)) })
}

// queued returns how many bytes a queue of c holds; -1 if unknown.
func queued(c net.Conn, queue uint) int {
	n := -1
	_ = control(c, func(fd int) { // -1 if it fails
		if held, err := unix.IoctlGetInt(fd, queue); err == nil {
			n = held
		}
	})
	return n
}

// poll reports whether c has one of the events, or an error. It takes half the time of TCP_INFO,
// which matters because each HTTP/2 request calls it.
func poll(c net.Conn, events int16) bool {
	var n int
	err := control(c, func(fd int) {
		n, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 0) //nolint:gosec // a descriptor
	})
	return n > 0 || err != nil && !errors.Is(err, errNotASocket)
}
