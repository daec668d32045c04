package upstream

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"oauth-proxyd/internal/kernel"
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
	count atomic.Int64 // bytes that were read
	ended atomic.Bool  // the peer's FIN was read
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
	return kernel.TCPInfo(s.Conn).State == closed
}

// acked returns how many bytes the peer's kernel has acknowledged; 0 if unknown.
func (s *socket) acked() uint64 { return kernel.TCPInfo(s.Conn).Bytes_acked }

// addrPort converts a TCP address; other addresses become the invalid AddrPort.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, _ := a.(*net.TCPAddr)
	return tcp.AddrPort() // invalid for nil
}
