package upstream_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/upstream"
)

func usual(*nameServer)    {}
func silent(s *nameServer) { s.silent = true }
func cut(s *nameServer)    { s.cut = true }

// respondsOnce serves one request of HTTP/1.1 on each connection.
func respondsOnce(c net.Conn) {
	if nextRequest(bufio.NewReader(c)) != nil {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
	}
}

// A name server that is silent costs a second, and not the request.
func TestSilentNameServer(t *testing.T) {
	cases := []struct {
		name          string
		first, second func(*nameServer)
		least         time.Duration
		works         bool
	}{
		{"none", usual, usual, 0, true},
		{"the first", silent, usual, 700 * time.Millisecond, true},
		{"all", silent, silent, 700 * time.Millisecond, false},
		{"none, over TCP", cut, cut, 0, true},
		{"the first, then over TCP", silent, cut, 700 * time.Millisecond, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			first, second := serveNames(t, c.first, "127.0.0.1"), serveNames(t, c.second, "127.0.0.1")
			o := listenOn(t, respondsOnce)
			pool := o.pool(t, named(o, inTurn(first, second))) // with the 5 s that Go's resolver waits for one server
			start := time.Now()
			_, _, err := attempt(pool, get(t))
			if took := time.Since(start); took < c.least {
				t.Errorf("it took %v", took)
			}
			if (err == nil) != c.works || !c.works && !errors.Is(err, upstream.ErrConnectTimeout) {
				t.Errorf("error %v", err)
			}
			if dns, is := errors.AsType[*net.DNSError](err); !c.works && (!is || dns.Server == "") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// Credentials go in clear to this host and the tailnet alone, whatever the name resolved to before.
func TestNameInClearIsJudgedByItsAddressEachTime(t *testing.T) {
	o := listenOn(t, respondsOnce)
	server := serveNames(t, usual)
	pool := o.pool(t, named(o, inTurn(server, server)))
	for _, c := range []struct {
		addresses []string
		works     bool
	}{
		{[]string{"127.0.0.1"}, true},
		{[]string{"192.0.2.1"}, false},
		{[]string{"192.0.2.1", "127.0.0.1"}, true},
		{[]string{"2001:db8::1", "::ffff:192.0.2.1"}, false},
		{[]string{"10.0.0.1", "192.168.0.1"}, false},
		{[]string{"169.254.169.254"}, false},
		{[]string{"127.0.0.1"}, true},
	} {
		server.resolveTo(c.addresses...)
		_, _, err := attempt(pool, get(t))
		if (err == nil) != c.works {
			t.Errorf("%v: %v", c.addresses, err)
		}
		if !c.works && !strings.Contains(err.Error(), "in clear") {
			t.Errorf("%v: %v", c.addresses, err)
		}
	}
}

// An address that swallows packets costs a quarter of a second, not the request: the other family
// is tried beside it. (Without IPv6, connecting there fails at once.)
func TestDeadFamily(t *testing.T) {
	server := serveNames(t, usual, "::1", "127.0.0.1")
	o := listenOn(t, respondsOnce)
	swallowPackets(t, net.JoinHostPort("::1", o.url.Port()))
	pool := o.pool(t, named(o, inTurn(server, server)), func(c *upstream.Config) {
		c.ConnectTimeout = time.Hour // one address after the other would have half of it each
	})
	succeeds(t, pool)
}

// swallowPackets fills the kernel's queue of connections to an address of this host, which then
// does not respond to further ones.
func swallowPackets(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Log(err)
		return
	}
	t.Cleanup(func() { l.Close() })
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }); err != nil {
		t.Fatal(err)
	}
	for {
		c, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { c.Close() })
	}
}
