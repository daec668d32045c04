package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/proxy"
)

// oneAtATime is a bubble with one slot, whose upstream responds to one request at a time.
type oneAtATime struct {
	*bubble
	settings proxy.Settings
	arrived  chan string   // the path of the request that has the slot
	respond  chan struct{} // ends it
}

// openOneAtATime has tailscaled name each sender by address. All that comes from 100.70.9.x is one
// person, a sender from 100.70.8.x has a share, and one from 100.70.7.x has two turns for one.
func openOneAtATime(t *testing.T, changes ...func(*setup)) *oneAtATime {
	c := &oneAtATime{arrived: make(chan string), respond: make(chan struct{})}
	one := func(s *setup) { s.Proxy.MaxConnections, s.Proxy.QueueLimit = 1, 1000 }
	changes = append([]func(*setup){one}, changes...)
	c.bubble = openBubble(t, "http", nil, c.serve, append(changes, func(s *setup) {
		s.Proxy.QueueTimeout = time.Hour
		s.Access.Allow = []config.Source{{Kind: config.Tailnet}, {Kind: config.CIDR, Prefix: netip.MustParsePrefix("2001:db8::/32")}}
		s.whoIs = func(_ context.Context, addr netip.AddrPort) (access.Identity, bool, error) {
			id := access.Identity{Source: config.Tailnet, Node: "node-" + addr.Addr().String(), User: addr.Addr().String() + "@example.com"}
			switch {
			case strings.HasPrefix(addr.String(), "100.70.9."):
				id.User = "greedy@example.com"
			case strings.HasPrefix(addr.String(), "100.70.8."):
				id.Share, id.ShareFault = access.Share{MaxRequests: 2}, "one of two is no share"
			case strings.HasPrefix(addr.String(), "100.70.7."):
				id.Share.Weight = 2
			}
			return id, true, nil
		}
		c.settings = s.Settings
	})...)
	return c
}

func (c *oneAtATime) serve(nc net.Conn) {
	in := bufio.NewReader(nc)
	for r, _ := readRequest(in); r != nil; r, _ = readRequest(in) {
		c.arrived <- r.URL.Path
		<-c.respond
		_, _ = io.WriteString(nc, wholeResponse)
	}
}

// ask sends a request for path, and gives a channel that gets the status of the response. It
// returns when the request has a slot or waits for one.
func (c *oneAtATime) ask(t *testing.T, address, path, session string) (client *rawConn, status chan int) {
	t.Helper()
	client, status = c.from(t, address), make(chan int, 1)
	go func() {
		_, _ = fmt.Fprintf(client, "GET %s HTTP/1.1\r\nHost: h\r\nX-Claude-Code-Session-Id: %s\r\n\r\n", path, session)
		if r, err := http.ReadResponse(client.in, nil); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
			status <- r.StatusCode
		}
	}()
	synctest.Wait()
	return client, status
}

// complete ends n requests, one after the other, and gives the paths of those that had the slots.
func (c *oneAtATime) complete(n int) (paths []string) {
	for range n {
		paths = append(paths, <-c.arrived)
		c.respond <- struct{}{}
	}
	return paths
}

func other(i int) string { return fmt.Sprintf("100.70.1.%d:4000", i+10) }

// A person may open any number of connections, addresses or sessions: others are served in turn.
func TestGreedyPersonWaitsInTurn(t *testing.T) {
	const greed, others = 500, 40
	cases := map[string]struct {
		address func(i int) string
		session func(i int) string
	}{
		"connections":    {func(int) string { return "100.70.9.1:4000" }, func(int) string { return "s" }},
		"sessions":       {func(int) string { return "100.70.9.1:4000" }, func(i int) string { return fmt.Sprint(i % 50) }},
		"nodes":          {func(i int) string { return fmt.Sprintf("100.70.9.%d:4000", i%50) }, func(int) string { return "s" }},
		"IPv6 addresses": {func(i int) string { return fmt.Sprintf("[2001:db8::%x]:4000", i%50+1) }, func(i int) string { return fmt.Sprint(i) }},
	}
	for name, greedy := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := openOneAtATime(t)
				for i := range greed + 1 {
					c.ask(t, greedy.address(i), "/greedy", greedy.session(i))
				}
				if n := c.Stats().Queued; n != greed {
					t.Fatalf("%d wait, want %d", n, greed)
				}
				for i := range others {
					c.ask(t, other(i), "/other", "s")
				}
				// The first had its slot before anybody waited.
				paths := c.complete(1 + others + 1)[1:]
				if n := len(slices.DeleteFunc(paths, func(p string) bool { return p != "/other" })); n != others {
					t.Errorf("%d of the %d others were served within %d completions", n, others, others+1)
				}
				c.complete(greed - 1)
			})
		})
	}
}

func TestOnePersonIsServedInTurn(t *testing.T) {
	cases := map[string]struct{ sessions, want string }{
		"one session":    {"aaaaaaa", "0123456"},
		"three sessions": {"aaaaabc", "0156234"}, // the first finds a slot
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := openOneAtATime(t)
				for i, session := range c.sessions {
					o.ask(t, "100.70.9.1:4000", fmt.Sprintf("/%d", i), string(session))
				}
				if got := strings.Join(o.complete(len(c.want)), ""); strings.ReplaceAll(got, "/", "") != c.want {
					t.Errorf("served %v, want %v", got, c.want)
				}
			})
		})
	}
}

// The greedy cannot fill the queue for others: their newest request gives way.
func TestFullQueueIsOpenToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openOneAtATime(t, func(s *setup) { s.Proxy.QueueLimit = 3 })
		var last chan int
		for range 4 {
			_, last = c.ask(t, "100.70.9.1:4000", "/greedy", "s")
		}
		_, status := c.ask(t, "100.70.9.1:4000", "/greedy", "s")
		if got := receive(t, status, "the newest"); got != http.StatusServiceUnavailable {
			t.Errorf("the newest of the only person: status %d", got)
		}
		_, served := c.ask(t, other(1), "/other", "s")
		if got := receive(t, last, "the one that gives way"); got != http.StatusServiceUnavailable {
			t.Errorf("the newest before that of another person: status %d", got)
		}
		c.complete(4)
		if got := receive(t, served, "the other person"); got != http.StatusOK {
			t.Errorf("the other person: status %d", got)
		}
	})
}

func TestWaitingClientThatLeavesFreesItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openOneAtATime(t)
		c.ask(t, other(0), "/first", "s")
		leaver, _ := c.ask(t, other(1), "/leaver", "s")
		c.ask(t, other(2), "/third", "s")
		_ = leaver.Close()
		synctest.Wait()
		if n := c.Stats().Queued; n != 1 {
			t.Errorf("%d wait after one of two left", n)
		}
		if got := c.complete(2); !slices.Equal(got, []string{"/first", "/third"}) {
			t.Errorf("served %v", got)
		}
	})
}

// A reload that makes the proxy larger and smaller loses no request and doubles none.
func TestReloadKeepsTheQueue(t *testing.T) {
	const n = 20
	synctest.Test(t, func(t *testing.T) {
		c := openOneAtATime(t)
		var all []chan int
		for i := range n {
			_, status := c.ask(t, other(i%5), "/", "s")
			all = append(all, status)
		}
		s := c.settings
		for _, slots := range []int{7, 2, 3} {
			s.Proxy.MaxConnections, s.Proxy.QueueLimit = slots, 1
			apply, err := c.Prepare(s)
			if err != nil {
				t.Fatal(err)
			}
			apply()
			synctest.Wait()
			if stats := c.Stats(); stats.InFlight != 7 || stats.Queued != n-7 {
				t.Errorf("%d slots: %d in flight, %d wait", slots, stats.InFlight, stats.Queued)
			}
		}
		c.complete(n)
		for _, status := range all {
			if got := receive(t, status, "a response"); got != http.StatusOK {
				t.Errorf("status %d", got)
			}
		}
		synctest.Wait()
		if stats := c.Stats(); stats.InFlight != 0 || stats.Queued != 0 || stats.Served != n {
			t.Errorf("at the end: %+v", stats)
		}
	})
}

// The policy of the tailnet gives weight, and a cap instead of the configured one.
func TestShareOfThePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openOneAtATime(t, func(s *setup) { s.Proxy.MaxConnections, s.Proxy.MaxConnectionsPerPerson = 5, 1 })
		for range 3 {
			c.ask(t, "100.70.8.1:4000", "/more", "s")
			c.ask(t, other(0), "/other", "s")
		}
		if stats := c.Stats(); stats.InFlight != 3 || stats.Queued != 3 {
			t.Errorf("%d in flight, %d wait; want 2 of one person and 1 of another in flight", stats.InFlight, stats.Queued)
		}
		c.complete(6)
		synctest.Wait()
		if n := strings.Count(c.log.String(), "in the tailnet's policy is ignored"); n != 1 {
			t.Errorf("%d lines about a bad share in a minute, want 1", n)
		}
	})
}

// Of two people who always wait, the one with twice the weight gets two slots for each of the
// other.
func TestWeightsShareTheSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openOneAtATime(t)
		c.ask(t, other(0), "/first", "s") // has the slot while the others come
		for i := range 12 {
			c.ask(t, "100.70.7.1:4000", "/2", fmt.Sprint(i%3))
			c.ask(t, other(1), "/1", "s")
		}
		paths := strings.Join(c.complete(1 + 18)[1:], "")
		if got, want := paths, strings.Repeat("/2/2/1", 6); got != want {
			t.Errorf("served %s, want %s", got, want)
		}
		c.complete(6)
	})
}
