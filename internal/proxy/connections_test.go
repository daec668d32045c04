package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"oauth-proxyd/internal/config"
)

// claimingNetwork has connections come from a network, where each address has a share of its own.
// Those from 127.0.0.1 share one that is as large as all.
func claimingNetwork(s *setup) {
	claiming(netip.MustParsePrefix("198.51.0.0/16"))(s)
	s.Access.Allow = []config.Source{{Kind: config.CIDR, Prefix: netip.MustParsePrefix("198.51.0.1/32")}}
}

// claiming has connections from 127.0.A.B come from an address of the network that ends in A and B.
func claiming(network netip.Prefix) func(*setup) {
	return func(s *setup) {
		s.listen = func(t testing.TB) net.Listener { return renamed{listenTCP(t), network} }
	}
}

type renamed struct {
	net.Listener
	network netip.Prefix
}

func (l renamed) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	remote := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	claim, host := l.network.Addr().AsSlice(), remote.Addr().As4()
	copy(claim[len(claim)-2:], host[2:])
	addr, _ := netip.AddrFromSlice(claim)
	return addressedConn{c.(*net.TCPConn), addressed{remote: netip.AddrPortFrom(addr, remote.Port()).String(), local: "198.51.100.200:8080"}}, nil
}

func (l renamed) SetDeadline(t time.Time) error { return l.Listener.(*net.TCPListener).SetDeadline(t) }

const admittedSource = "127.0.0.1" // 198.51.0.1 to the door

// served reports whether a new connection from source has a response, and which.
func (d *door) served(t testing.TB, source string) int {
	t.Helper()
	c := d.dialFrom(t, source)
	defer c.Close()
	c.send(t, smuggled)
	response, _ := c.response(t, http.MethodGet)
	return response.StatusCode
}

// Strangers can do anything with connections: an admitted client gets in, before and after its
// first request.
func TestStrangersKeepNobodyOut(t *testing.T) {
	for _, name := range []string{"silent", "refused"} {
		for _, sources := range []int{1, 40} {
			t.Run(fmt.Sprintf("%s, from %d sources", name, sources), func(t *testing.T) {
				d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}), claimingNetwork)
				for i := range 1500 {
					c := d.dialFrom(t, fmt.Sprintf("127.0.0.%d", 2+i%sources))
					if name == "refused" {
						_, _ = io.WriteString(c, smuggled)
					}
				}
				for range 3 {
					if status := d.served(t, admittedSource); status != http.StatusOK {
						t.Errorf("an allowed client: status %d", status)
					}
				}
				if stats := d.server.Connections(); stats.Strangers > stats.StrangersLimit || stats.Admitted > 3 {
					t.Errorf("%+v", stats)
				}
			})
		}
	}
}

// Clients that are refused and keep half a request open, on the address of one that is admitted, do
// not keep it waiting.
func TestHalfSentRequestsGiveWay(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}), func(s *setup) {
		s.Access.Allow = []config.Source{{Kind: config.Proxied}}
	})
	const flood = 1000
	ended := d.keepHalfSent(t, flood)
	eventually(t, "all are accepted", func() bool { return d.server.Connections().Strangers > flood*9/10 })
	atOnce := 0
	for range 20 {
		c, before := d.dial(t), ended.Load()
		c.send(t, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n")
		response, _ := c.response(t, http.MethodGet)
		if response.StatusCode != http.StatusOK {
			t.Fatalf("status %d", response.StatusCode)
		}
		if ended.Load() == before {
			atOnce++
		}
	}
	if atOnce == 0 {
		t.Error("each client had a response only when connections with half a request had ended")
	}
}

// keepHalfSent keeps n connections open on which half a request was sent. It counts those that end.
func (d *door) keepHalfSent(t *testing.T, n int) (ended *atomic.Int64) {
	ended = new(atomic.Int64)
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	t.Cleanup(func() { stop(); work.Wait() })
	var dialer net.Dialer
	for range n {
		work.Go(func() {
			for ctx.Err() == nil {
				c, err := dialer.DialContext(ctx, "tcp", d.addr)
				if err != nil {
					continue
				}
				end := context.AfterFunc(ctx, func() { c.Close() })
				_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nX-A: ")
				_, _ = io.Copy(io.Discard, c)
				ended.Add(1)
				end()
				c.Close()
			}
		})
	}
	return ended
}

// Sources that are refused and open connections as fast as they can, each with a request whose body
// does not come, do not keep out a client that is admitted and was not seen before: the daemon asks
// the kernel a few times about each connection, however many wait.
func TestRefusedFloodDelaysNobody(t *testing.T) {
	for _, sources := range []int{1, 10} {
		t.Run(fmt.Sprintf("from %d sources", sources), func(t *testing.T) {
			var accepted, asked atomic.Int64
			d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}), claimingNetwork, func(s *setup) {
				s.Access.Allow = []config.Source{{Kind: config.CIDR, Prefix: netip.MustParsePrefix("198.51.0.0/24")}}
				listen := s.listen
				s.listen = func(t testing.TB) net.Listener { return countedListener{listen(t), &accepted, &asked} }
			})
			d.flood(t, sources)
			eventually(t, "the sources have as many connections as they may", func() bool { return d.server.Connections().StrangersClosed > 1000 })
			if status := d.served(t, "127.0.0.2"); status != http.StatusOK {
				t.Errorf("status %d", status)
			}
			if asks, n := asked.Load(), accepted.Load(); asks > 10*n {
				t.Errorf("the daemon asked the kernel %d times about %d connections", asks, n)
			}
		})
	}
}

// countedListener counts the connections that it accepts, and the questions about them to the
// kernel.
type countedListener struct {
	net.Listener
	accepted, asked *atomic.Int64
}

// Accept implements net.Listener.
func (l countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.accepted.Add(1)
	return countedConn{c.(addressedConn), l.asked}, nil
}

type countedConn struct {
	addressedConn
	asked *atomic.Int64
}

// SyscallConn implements syscall.Conn.
func (c countedConn) SyscallConn() (syscall.RawConn, error) {
	c.asked.Add(1)
	return c.addressedConn.SyscallConn()
}

// flood opens connections from so many sources until the test ends, and sends a request on each.
func (d *door) flood(t *testing.T, sources int) {
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	t.Cleanup(func() { stop(); work.Wait() })
	for range 4 {
		work.Go(func() {
			var open [200]net.Conn
			for i := 0; ctx.Err() == nil; i = (i + 1) % len(open) {
				if open[i] != nil {
					_ = open[i].(*net.TCPConn).SetLinger(0) // no port stays in use
					open[i].Close()
				}
				dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%sources))}}
				if c, err := dialer.DialContext(ctx, "tcp", d.addr); err == nil {
					_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
					open[i] = c
				}
			}
			for _, c := range open {
				if c != nil {
					c.Close()
				}
			}
		})
	}
}

// A gateway opens many connections at once, and none of them may fail because its source was not
// known yet.
func TestFirstBurstIsServed(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}), claimingNetwork, func(s *setup) {
		s.Proxy.MaxConnections = 1000
	})
	var conns []*rawConn
	for range 400 {
		conns = append(conns, d.dialFrom(t, admittedSource))
	}
	var work sync.WaitGroup
	for _, c := range conns {
		work.Go(func() {
			_, _ = io.WriteString(c, smuggled)
			if response, err := http.ReadResponse(c.in, nil); err != nil || response.StatusCode != http.StatusOK {
				t.Errorf("response %v, %v", response, err)
			}
		})
	}
	work.Wait()
}

// Of as many connections as there is room for, from as many addresses, none is closed for the next
// one before its client had time to send a request.
func TestSilentBurstIsClosedAfterAMoment(t *testing.T) {
	const room = 128
	synctest.Test(t, func(t *testing.T) {
		b := openBubble(t, "http", nil, sayAgain)
		for i := range room + 1 {
			b.from(t, fmt.Sprintf("198.18.0.%d:1000", 1+i))
		}
		synctest.Wait()
		if n := b.server.Connections().StrangersClosed; n > 0 {
			t.Errorf("%d connections were closed at once", n)
		}
		b.from(t, "198.18.0.1:1001") // it waits, and the address has more than a new one
		synctest.Wait()
		b.from(t, "198.18.1.1:1000")
		synctest.Wait()
		if n := b.server.Connections().StrangersClosed; n != 1 {
			t.Errorf("%d connections of an address with several were closed for a new one, want 1", n)
		}
		time.Sleep(30 * time.Millisecond)
		b.from(t, "198.18.1.2:1000")
		synctest.Wait()
		if n := b.server.Connections().StrangersClosed; n != 2 {
			t.Errorf("after 30 ms %d connections were closed for two new ones, want 2", n)
		}
	})
}

// A burst of connections from many addresses is served: no client that has sent its request is
// closed to make room for another, however late the request is read.
func TestManyAddressesAtOnceAreServed(t *testing.T) {
	for name, test := range map[string]struct {
		from func(*setup)
		want int
	}{
		"loopback":         {func(*setup) {}, http.StatusOK},
		"one IPv6 network": {claiming(netip.MustParsePrefix("2001:db8::/64")), http.StatusForbidden},
		"IPv4 addresses":   {claiming(netip.MustParsePrefix("198.18.0.0/16")), http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			sent := make(chan struct{})
			d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}), test.from, func(s *setup) {
				s.Proxy.MaxConnections = 1000
				listen := s.listen
				s.listen = func(t testing.TB) net.Listener { return lateAccept{listen(t), sent} }
			})
			var conns []*rawConn
			for i := range 300 {
				c := d.dialFrom(t, fmt.Sprintf("127.0.%d.%d", 1+i/200, 1+i%200))
				c.send(t, smuggled)
				conns = append(conns, c)
			}
			close(sent)
			served := 0
			for _, c := range conns {
				if response, err := http.ReadResponse(c.in, nil); err == nil && response.StatusCode == test.want {
					served++
				}
			}
			if served < len(conns)-3 { // on a busy machine, bytes may be out of the kernel and not yet in net/http
				t.Errorf("%d of %d connections were served", served, len(conns))
			}
		})
	}
}

// lateAccept accepts nothing before start is closed, as on a busy machine.
type lateAccept struct {
	net.Listener
	start <-chan struct{}
}

func (l lateAccept) Accept() (net.Conn, error) {
	<-l.start
	return l.Listener.Accept()
}

// Programs of this host cannot use up the room of the network, and the network cannot use up
// theirs. Closed connections are counted.
func TestThisHostHasABudgetOfItsOwn(t *testing.T) {
	here := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", 1000+i) }
	network := func(i int) string { return fmt.Sprintf("198.18.%d.%d:1000", i/200, i%200) }
	for name, from := range map[string][2]func(int) string{"from this host": {here, network}, "from the network": {network, here}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := openBubble(t, "http", nil, sayAgain)
				for i := range 1300 {
					b.from(t, from[0](i))
				}
				synctest.Wait()
				before := b.server.Connections().StrangersClosed
				c, start := b.from(t, from[1](0)), time.Now()
				c.send(t, smuggled)
				c.response(t, http.MethodGet)
				if after := b.server.Connections().StrangersClosed; time.Since(start) > 0 || before == 0 || after != before {
					t.Errorf("a response after %v, %d closed before and %d after", time.Since(start), before, after)
				}
			})
		})
	}
}

// At the bound, the connection that has been idle longest gives way to a new client, and none that
// has a request does.
func TestTheLongestIdleGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		end := sync.OnceFunc(func() { close(leave) })
		b := openBubble(t, "http", nil, func(c net.Conn) {
			in := bufio.NewReader(c)
			for r, _ := readRequest(in); r != nil; r, _ = readRequest(in) {
				if r.URL.Path == "/long" {
					<-leave
				}
				_, _ = io.WriteString(c, wholeResponse)
			}
		}, func(s *setup) {
			s.Proxy.MaxConnections, s.Proxy.QueueLimit = 2, 5
			s.Access.Allow = []config.Source{{Kind: config.CIDR, Prefix: netip.MustParsePrefix("198.51.0.0/16")}}
		})
		defer end()
		responds := func(who string, c *rawConn) {
			if response, _ := c.response(t, http.MethodGet); response.StatusCode != http.StatusOK {
				t.Errorf("%s: status %d", who, response.StatusCode)
			}
		}
		limit := b.server.Connections().AdmittedLimit
		busy := b.from(t, "198.51.100.1:1000")
		busy.send(t, "GET /long HTTP/1.1\r\nHost: h\r\n\r\n")
		var idle []*rawConn
		for range limit + 10 {
			time.Sleep(time.Millisecond) // the one before is idle for longer
			c := b.from(t, "198.51.100.1:1000")
			c.send(t, smuggled)
			responds("a new one", c)
			idle = append(idle, c)
		}
		if stats := b.server.Connections(); stats.Admitted > limit {
			t.Errorf("%+v", stats)
		}
		start := time.Now()
		if rest := idle[0].rest(); rest != "" || time.Since(start) > 0 { // until its end
			t.Errorf("the longest idle got %q, and ended after %v", rest, time.Since(start))
		}
		last := idle[len(idle)-1]
		last.send(t, smuggled)
		responds("the latest", last)
		end()
		responds("the busy one", busy)
	})
}

// At the bound, a client that has begun its next request keeps its connection, and a client that
// comes again gets in as long as one connection is idle, however many addresses there are.
func TestOnlyIdleConnectionsGiveWay(t *testing.T) {
	const beyond = 256 // of other addresses than the greediest
	half := len(smuggled) / 2
	synctest.Test(t, func(t *testing.T) {
		b := openBubble(t, "http", nil, sayAgain, func(s *setup) {
			s.Proxy.MaxConnections, s.Proxy.QueueLimit = 2, 5
			s.Access.Allow = []config.Source{{Kind: config.CIDR, Prefix: netip.MustParsePrefix("198.51.0.0/16")}}
		})
		ask := func(address, text string) *rawConn {
			c := b.from(t, address+":1000")
			c.send(t, text)
			if response, _ := c.response(t, http.MethodGet); response.StatusCode != http.StatusOK {
				t.Errorf("%s: status %d", address, response.StatusCode)
			}
			return c
		}
		ask("198.51.100.1", smuggled).Close()
		var begun []*rawConn
		for i := range b.server.Connections().AdmittedLimit + beyond - 1 {
			begun = append(begun, ask(fmt.Sprintf("198.51.%d.%d", i/200, i%200), smuggled+smuggled[:half]))
		}
		idle := ask("198.51.99.1", smuggled)
		synctest.Wait()
		ask("198.51.100.1", smuggled)
		if rest := idle.rest(); rest != "" { // until its end
			t.Errorf("the idle one got %q", rest)
		}
		for i, c := range begun {
			c.send(t, smuggled[half:])
			if response, _ := c.response(t, http.MethodGet); response.StatusCode != http.StatusOK {
				t.Errorf("connection %d: status %d", i, response.StatusCode)
			}
		}
	})
}

// Refused requests from the network are served at a pace that leaves the processors to others. On
// this host, where many senders share an address, they make room at once, even if their bodies are
// still to come.
func TestRefusedRequestsMakeRoom(t *testing.T) {
	const share, room = 16, 128
	waits := func(t *testing.T, b *bubble, from string, n int) (longest time.Duration) {
		for i := range n {
			c, start := b.from(t, fmt.Sprintf("%s:%d", from, 1000+i)), time.Now()
			c.send(t, "POST / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 9\r\n\r\n")
			if response, _ := c.response(t, http.MethodPost); response.StatusCode != http.StatusForbidden {
				t.Errorf("status %d", response.StatusCode)
			}
			longest = max(longest, time.Since(start))
			synctest.Wait() // the daemon has dealt with it
		}
		return longest
	}
	synctest.Test(t, func(t *testing.T) {
		b := openBubble(t, "http", nil, sayAgain)
		if wait := waits(t, b, "198.18.0.1", share); wait > 0 {
			t.Errorf("the share of an address: %v", wait)
		}
		if wait := waits(t, b, "198.18.0.1", 1); wait == 0 || wait > 30*time.Millisecond {
			t.Errorf("beyond the share: %v", wait)
		}
		if wait := waits(t, b, "127.0.0.1", 3*room); wait > 0 {
			t.Errorf("on this host: %v", wait)
		}
	})
}

// A drain serves the connections that wait to be served: no later process can.
func TestDrainServesWhoWasAccepted(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}), claimingNetwork, func(s *setup) {
		s.Access.Allow = []config.Source{{Kind: config.CIDR, Prefix: netip.MustParsePrefix("198.51.0.0/24")}}
	})
	var conns []*rawConn
	for range 100 { // more than a stranger's share
		conns = append(conns, d.dialFrom(t, "127.0.0.2"))
	}
	eventually(t, "all are accepted", func() bool { return d.server.Connections().Strangers == len(conns) })
	d.stop()
	for _, c := range conns {
		c.send(t, smuggled)
	}
	for i, c := range conns {
		if response, body := c.response(t, http.MethodGet); response.StatusCode != http.StatusOK {
			t.Errorf("connection %d: status %d, %s", i, response.StatusCode, body)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := d.server.Drain(ctx, time.Second); err != nil {
		t.Error(err)
	}
}
