package upstream_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"oauth-proxyd/internal/upstream"
)

// nameServer is one on loopback, over UDP and TCP.
type nameServer struct {
	address string
	asked   atomic.Int64
	answers atomic.Pointer[[]netip.Addr]
	silent  bool // it takes questions and says nothing
	cut     bool // over UDP it says that the answer is too long for that
}

// serveNames answers each question with these addresses, unless change makes it do else.
func serveNames(t *testing.T, change func(*nameServer), answers ...string) *nameServer {
	t.Helper()
	packets, stream := listenBoth(t)
	s := &nameServer{address: packets.LocalAddr().String()}
	s.resolveTo(answers...)
	change(s)
	var work sync.WaitGroup
	work.Go(func() { s.packets(packets) })
	work.Go(func() {
		for c, err := stream.Accept(); err == nil; c, err = stream.Accept() {
			s.stream(c)
		}
	})
	t.Cleanup(func() { packets.Close(); stream.Close(); work.Wait() })
	return s
}

// listenBoth has one port for UDP and TCP.
func listenBoth(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 10 {
		stream, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if packets, err := net.ListenPacket("udp", stream.Addr().String()); err == nil {
			return packets, stream
		}
		stream.Close()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

// resolveTo changes the addresses.
func (s *nameServer) resolveTo(answers ...string) {
	var addrs []netip.Addr
	for _, a := range answers {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	s.answers.Store(&addrs)
}

func (s *nameServer) packets(c net.PacketConn) {
	for buf := make([]byte, 1500); ; {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer := s.answer(buf[:n], s.cut); answer != nil {
			_, _ = c.WriteTo(answer, from)
		}
	}
}

func (s *nameServer) stream(c net.Conn) {
	defer c.Close()
	var length [2]byte
	for {
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(c, question); err != nil {
			return
		}
		answer := s.answer(question, false)
		_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	}
}

// answer is nil if there is to be none.
func (s *nameServer) answer(question []byte, cut bool) []byte {
	s.asked.Add(1)
	var m dnsmessage.Message
	if s.silent || m.Unpack(question) != nil {
		return nil
	}
	m.Response, m.RecursionAvailable, m.Truncated, m.Additionals = true, true, cut, nil
	q := m.Questions[0]
	header := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}
	for _, a := range *s.answers.Load() {
		switch {
		case cut:
		case a.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	answer, err := m.Pack()
	if err != nil {
		return nil
	}
	return answer
}

// inTurn has the first question for each family of addresses go to the first server, and all others
// to the second one, as if /etc/resolv.conf listed both.
func inTurn(first, second *nameServer) func(ctx context.Context, network, server string) (net.Conn, error) {
	const families = 2
	var asked atomic.Int64
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		server := second
		if asked.Add(1) <= families {
			server = first
		}
		return (&net.Dialer{}).DialContext(ctx, network, server.address)
	}
}

// named has the pool reach o by a name that these servers know.
func named(o *origin, dial func(ctx context.Context, network, server string) (net.Conn, error)) func(*upstream.Config) {
	return func(c *upstream.Config) {
		u := *o.url
		_, port, _ := net.SplitHostPort(u.Host)
		u.Host = net.JoinHostPort("upstream.test", port)
		c.UpstreamURL, c.ConnectTimeout = &u, 5*time.Second
		c.Resolver = upstream.NewResolver(c.ConnectTimeout, dial)
	}
}
