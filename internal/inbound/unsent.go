package inbound

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unread is how many bytes the kernel holds that came from nc's peer; below 0: it cannot
// tell.
func unread(nc net.Conn) int { return queued(nc, unix.SIOCINQ) }

func queued(nc net.Conn, queue uint) int {
	socket, ok := nc.(syscall.Conn)
	if !ok {
		return -1
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return -1
	}
	n := -1
	err = raw.Control(func(fd uintptr) {
		if left, err := unix.IoctlGetInt(int(fd), queue); err == nil {
			n = left
		}
	})
	if err != nil {
		return -1
	}
	return n
}
