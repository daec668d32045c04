package upstream

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
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

// socket is the connection beneath TLS. Read and count are one step under mu. Otherwise newAttempt
// could miss bytes already read, and take an early response for ours.
type socket struct {
	net.Conn
	raw  syscall.RawConn // nil: not a kernel socket
	take func(fd uintptr) (done bool)

	into []byte // what take reads to; one goroutine reads at a time
	n    int
	err  error

	mu    sync.Mutex
	count int64
	ended bool // the peer's FIN was read
}

// newSocket also tells the kernel to close a dead path.
func newSocket(c net.Conn) *socket {
	s := &socket{Conn: c}
	s.take = s.receive
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
	if s.raw == nil {
		n, err := s.Conn.Read(p)
		s.note(n, errors.Is(err, io.EOF))
		return n, err
	}
	s.into = p
	if err := s.raw.Read(s.take); err != nil {
		return 0, err
	}
	switch {
	case s.err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: os.NewSyscallError("read", s.err)}
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// receive reads what the kernel has. It returns false if there is nothing yet.
func (s *socket) receive(fd uintptr) (done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n, s.err = unix.Read(int(fd), s.into)
	if errors.Is(s.err, unix.EAGAIN) {
		return false
	}
	s.n = max(s.n, 0)
	s.count += int64(s.n)
	s.ended = s.ended || s.n == 0 && s.err == nil
	return true
}

func (s *socket) note(n int, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count += int64(n)
	s.ended = s.ended || ended
}

// received returns how many bytes were read so far.
func (s *socket) received() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// finished reports whether the peer's FIN was read.
func (s *socket) finished() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
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
