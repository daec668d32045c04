package upstream

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// A path is dead when the peer's kernel acknowledges nothing for userTimeout, or responds to no
	// keep-alive probe; these start after keepAliveIdle without a byte.
	userTimeout       = 25 * time.Second
	keepAliveIdle     = 10 * time.Second
	keepAliveInterval = 5 * time.Second
	keepAliveCount    = 3
)

// socket is the connection beneath TLS.
type socket struct {
	net.Conn
	raw   syscall.RawConn // nil: not a kernel socket
	count atomic.Int64    // bytes that were read
	ended atomic.Bool     // the peer's FIN was read
}

// newSocket also tells the kernel to close a dead path.
func newSocket(c net.Conn) *socket {
	s := &socket{Conn: c}
	if sc, ok := c.(syscall.Conn); ok {
		s.raw, _ = sc.SyscallConn()
	}
	if s.raw != nil {
		_ = s.raw.Control(func(fd uintptr) { // without the option a dead path is noticed later
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
		})
	}
	return s
}

// Read implements net.Conn.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.count.Add(int64(n))
	if errors.Is(err, io.EOF) {
		s.ended.Store(true)
	}
	return n, err
}

// gone reports whether the connection was reset, before or after a FIN.
func (s *socket) gone() bool {
	const closed = 7 // include/net/tcp_states.h
	info := s.info()
	return info != nil && info.State == closed
}

// info returns what the kernel knows about the connection; nil if unknown.
func (s *socket) info() (info *unix.TCPInfo) {
	if s.raw == nil {
		return nil
	}
	_ = s.raw.Control(func(fd uintptr) { // nil if it is closed
		info, _ = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	return info
}

// acked returns how many bytes the peer's kernel has acknowledged; 0 if unknown.
func (s *socket) acked() uint64 {
	if info := s.info(); info != nil {
		return info.Bytes_acked
	}
	return 0
}

// addrPort converts a TCP address; other addresses become the invalid AddrPort.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, _ := a.(*net.TCPAddr)
	return tcp.AddrPort() // invalid for nil
}
