package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
)

// addressed is a listener whose connections claim to be between two addresses.
type addressed struct {
	net.Listener
	remote, local string
}

func (l addressed) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return addressedConn{c.(*net.TCPConn), l}, nil
}

func (l addressed) SetDeadline(t time.Time) error {
	return l.Listener.(*net.TCPListener).SetDeadline(t)
}

type addressedConn struct {
	*net.TCPConn
	claim addressed
}

func (c addressedConn) RemoteAddr() net.Addr { return claimed(c.claim.remote) }
func (c addressedConn) LocalAddr() net.Addr  { return claimed(c.claim.local) }

func claimed(address string) net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))
}

// between makes a door whose connections claim to go from remote to local.
func between(remote, local string) func(*setup) {
	return func(s *setup) {
		s.listen = func(t testing.TB) net.Listener { return addressed{listenTCP(t), remote, local} }
	}
}

func allow(grants ...config.Source) func(*setup) {
	return func(s *setup) { s.Access.Allow = grants }
}

const (
	peerAddr  = "100.70.1.1:4000"
	hostAddr  = "100.70.1.2:8080"
	otherAddr = "192.0.2.7:4000"
)

// knownPeer is who tailscaled names at peerAddr.
func knownPeer() access.Identity {
	return access.Identity{
		Node: "laptop.tail1.ts.net", ShortNode: "laptop", NodeID: "nABC", User: "Ann@example.com",
		Capabilities: []string{"example.com/cap/x"}, Addresses: []netip.Addr{netip.MustParseAddr("100.70.1.1")},
	}
}

// sharedPeer is a node of another tailnet that is shared with this one.
func sharedPeer() access.Identity {
	return access.Identity{Node: "laptop.other.ts.net", NodeID: "nXYZ", User: "eve@example.org"}
}

func taggedPeer() access.Identity {
	return access.Identity{Node: "ai.tail1.ts.net", NodeID: "nAI", Tags: []string{"tag:aperture", "tag:b"}}
}

type grantCase struct {
	name   string
	from   func(*setup)
	how    func(*setup) // may be nil
	grant  config.Source
	header string
	want   int
}

func grantCases() []grantCase {
	local, tailnet := config.Source{Kind: config.Local}, config.Source{Kind: config.Tailnet}
	proxied := config.Source{Kind: config.Proxied}
	prefix := func(s string) config.Source {
		return config.Source{Kind: config.CIDR, Prefix: netip.MustParsePrefix(s)}
	}
	peer, host, outside := between(peerAddr, hostAddr), between("127.0.0.1:4000", "127.0.0.1:8080"), between(otherAddr, "192.0.2.8:8080")
	mapped := between("[::ffff:100.70.1.1]:4000", "[::ffff:100.70.1.2]:8080")
	return []grantCase{
		{"local", host, nil, local, "", 200},
		{"local over IPv6", between("[::1]:4000", "[::1]:8080"), nil, local, "", 200},
		{"local, mapped", between("[::ffff:127.0.0.1]:4000", "[::ffff:127.0.0.1]:8080"), nil, local, "", 200},
		{"local is not the tailnet", host, nil, tailnet, "", 403},
		{"proxied is not local", host, nil, local, "X-Forwarded-For: 1.2.3.4", 403},
		{"proxied by via", host, nil, local, "Via: 1.1 a", 403},
		{"proxied by forwarded", host, nil, local, "Forwarded: for=a", 403},
		{"proxied by tailscale serve", host, nil, local, "Tailscale-User-Login: a", 403},
		{"proxied by nginx that adds the client's address alone", host, nil, local, "X-Real-IP: 1.2.3.4", 403},
		{"proxied by cloudflared", host, nil, local, "CF-Connecting-IP: 1.2.3.4", 403},
		{"proxied by true-client-ip", host, nil, local, "True-Client-IP: 1.2.3.4", 403},
		{"proxied by x-client-ip", host, nil, local, "X-Client-IP: 1.2.3.4", 403},
		{"proxied by a gateway that names its user", host, nil, local, "X-Claude-Gateway-User-Email: a@example.com", 403},
		{"proxied by a gateway, allowed", host, nil, proxied, "X-Claude-Gateway-User-Id: 1", 200},
		{"proxied, allowed", host, nil, proxied, "Tailscale-User-Login: a", 200},
		{"proxied is not what local is", host, nil, proxied, "", 403},
		{"proxied is at no address", host, nil, prefix("127.0.0.0/8"), "Via: 1.1 a", 403},
		{"funnel", host, nil, proxied, "Tailscale-Funnel-Request: ?1", 403},
		{"tailnet", peer, knows(knownPeer()), tailnet, "", 200},
		{"tailnet, mapped", mapped, knows(knownPeer()), tailnet, "", 200},
		{"tailnet over IPv6", between("[fd7a:115c:a1e0::1]:4000", "[fd7a:115c:a1e0::2]:8080"), knows(knownPeer()), tailnet, "", 200},
		{"tailnet through a gateway", peer, knows(knownPeer()), tailnet, "X-Forwarded-For: 1.2.3.4", 200},
		{"tailnet that nobody knows", peer, onTailnet(), tailnet, "", 403},
		{"tailnet address where none is wanted", peer, nil, tailnet, "", 403},
		{"tailnet address elsewhere", between(peerAddr, "192.0.2.8:8080"), knows(knownPeer()), tailnet, "", 403},
		{"tailnet peer is not local", peer, knows(knownPeer()), local, "", 403},
		{"user", peer, knows(knownPeer()), config.Source{Kind: config.User, Value: "ann@example.com"}, "", 200},
		{"another user", peer, knows(knownPeer()), config.Source{Kind: config.User, Value: "bob@example.com"}, "", 403},
		{"tag", peer, knows(taggedPeer()), config.Source{Kind: config.Tag, Value: "tag:aperture"}, "", 200},
		{"another tag", peer, knows(taggedPeer()), config.Source{Kind: config.Tag, Value: "tag:c"}, "", 403},
		{"node id", peer, knows(knownPeer()), config.Source{Kind: config.Node, Value: "node:nABC"}, "", 200},
		{"node name", peer, knows(knownPeer()), config.Source{Kind: config.Node, Value: "node:Laptop.tail1.ts.net"}, "", 200},
		{"node name, short", peer, knows(knownPeer()), config.Source{Kind: config.Node, Value: "node:Laptop"}, "", 200},
		{"node name, short, of another tailnet", peer, knows(sharedPeer()), config.Source{Kind: config.Node, Value: "node:laptop"}, "", 403},
		{"node name, in full, of another tailnet", peer, knows(sharedPeer()), config.Source{Kind: config.Node, Value: "node:laptop.other.ts.net"}, "", 200},
		{"another node", peer, knows(knownPeer()), config.Source{Kind: config.Node, Value: "node:lap"}, "", 403},
		{"capability", peer, knows(knownPeer()), config.Source{Kind: config.Capability, Value: "cap:example.com/cap/x"}, "", 200},
		{"another capability", peer, knows(knownPeer()), config.Source{Kind: config.Capability, Value: "cap:example.com/cap/y"}, "", 403},
		{"prefix", outside, nil, prefix("192.0.2.0/24"), "", 200},
		{"another prefix", outside, nil, prefix("198.51.100.0/24"), "", 403},
		{"prefix of the tailnet", peer, onTailnet(), prefix("100.64.0.0/10"), "", 200},
		{"outside", outside, knows(knownPeer()), tailnet, "", 403},
	}
}

// sourceCases are about who is local, and who is a peer: what cannot be proved is 503.
func sourceCases() []grantCase {
	local, tailnet := config.Source{Kind: config.Local}, config.Source{Kind: config.Tailnet}
	proxied, loopback := config.Source{Kind: config.Proxied}, config.Source{Kind: config.CIDR, Prefix: netip.MustParsePrefix("127.0.0.0/8")}
	host, own, peer := between("127.0.0.1:4000", "127.0.0.1:8080"), between("192.0.2.8:4000", "192.0.2.8:8080"), between(peerAddr, hostAddr)
	mine, tailscaleds := ownedBy(1000), ownedBy(tailscaledUID)
	with := func(f ...func(*setup)) func(*setup) {
		return func(s *setup) {
			for _, f := range f {
				f(s)
			}
		}
	}
	peerHere := with(onTailnet(userspace), knows(knownPeer()), tailscaleds)
	return []grantCase{
		{"loopback, no tailnet wanted", host, with(), local, "", 200},
		{"loopback, TUN", host, with(onTailnet(), tailscaleds), local, "", 200},
		{"loopback, TUN, nothing of the kernel", host, with(onTailnet(), noDiag), local, "", 200},
		{"loopback, TUN, already closed", host, with(onTailnet(), notHere), local, "", 503},
		{"loopback, TUN, behind another proxy", host, with(onTailnet(), mine), local, "X-Forwarded-For: 1.2.3.4", 403},
		{"loopback, a forward to us", host, with(onTailnet(forwarded), tailscaleds), local, "", 403},
		{"loopback, a forward to us, allowed", host, with(onTailnet(forwarded), tailscaleds), proxied, "", 200},
		{"loopback, a Funnel to us, allowed", host, with(onTailnet(funnelled), tailscaleds), proxied, "", 403},
		{"loopback, a forward to us, another user", host, with(onTailnet(forwarded), mine), local, "", 200},
		{"loopback, no tailscaled", host, with(onTailnet(absent), tailscaleds), local, "", 200},
		{"loopback, no tailscaled, already closed", host, with(onTailnet(absent), notHere), local, "", 503},
		{"loopback, tailscaled has not said anything", host, with(onTailnet(silent), tailscaleds), local, "", 503},
		{"loopback, tailscaled has not said anything, another user", host, with(onTailnet(silent), mine), local, "", 200},
		{"loopback, tailscaled has not said anything, a user without a number", host, with(onTailnet(silent), ownedBy(65534)), local, "", 200},
		{"loopback, tailscaled has not said anything, two users without a number", host, with(onTailnet(silent, numberless), ownedBy(65534)), local, "", 503},
		{"loopback, it is not known whether tailscaled runs", host, with(onTailnet(hidden), mine), local, "", 503},
		{"loopback, the tailnet is down", host, with(onTailnet(down), tailscaleds), local, "", 200},
		{"userspace, a peer", host, peerHere, tailnet, "", 200},
		{"userspace, a peer through a gateway", host, peerHere, tailnet, "X-Forwarded-For: 1.2.3.4", 200},
		{"userspace, a peer is not local", host, peerHere, local, "", 403},
		{"userspace, a peer is not proxied", host, peerHere, proxied, "X-Forwarded-For: 1.2.3.4", 403},
		{"userspace, a peer is not at loopback", host, peerHere, loopback, "", 403},
		{"userspace, a peer is at its address", host, peerHere, config.Source{Kind: config.CIDR, Prefix: netip.MustParsePrefix("100.70.1.1/32")}, "", 200},
		{"userspace, a peer after tailscale down", host, with(peerHere, onTailnet(down)), tailnet, "", 503},
		{"userspace, nobody that tailscaled knows", host, with(onTailnet(userspace), tailscaleds), local, "", 200},
		{"userspace, nobody that tailscaled knows, already closed", host, with(onTailnet(userspace), notHere), local, "", 503},
		{"userspace, tailscaled does not say", host, with(onTailnet(userspace), asks(fails), tailscaleds), local, "", 503},
		{"userspace, tailscaled does not say, another user", host, with(onTailnet(userspace), asks(fails), mine), local, "", 200},
		{"userspace, proxied", host, with(onTailnet(userspace), mine), local, "Via: 1.1 a", 403},
		{"own address, a program", own, with(onTailnet(), mine), local, "", 200},
		{"own address, a proxy", own, with(onTailnet(), mine), local, "Via: 1.1 a", 403},
		{"own address, tailscaled's user", own, with(onTailnet(), tailscaleds), local, "", 503},
		{"own address, nobody on this host", own, with(onTailnet(), notHere), local, "", 503},
		{"own address, no tailscaled", own, with(onTailnet(absent), tailscaleds), local, "", 200},
		{"own address, no tailscaled, nobody on this host", own, with(onTailnet(absent), notHere), local, "", 503},
		{"own address, no tailnet wanted", own, tailscaleds, local, "", 200},
		{"own address, it is not known whether tailscaled runs", own, with(onTailnet(hidden), mine), local, "", 503},
		{"a peer after tailscale down", peer, with(knows(knownPeer()), onTailnet(down)), tailnet, "", 503},
		{"a peer, tailscaled has not said anything", peer, with(knows(knownPeer()), onTailnet(silent)), tailnet, "", 503},
		{"a peer, no tailscaled", peer, with(knows(knownPeer()), onTailnet(absent)), tailnet, "", 503},
		{"a peer's address on another network", between(peerAddr, "100.99.9.9:8080"), knows(knownPeer()), tailnet, "", 403},
		{"link-local with a zone", between("[fe80::1%eth0]:4000", "[fe80::2%eth0]:8080"), nil, config.Source{Kind: config.CIDR, Prefix: netip.MustParsePrefix("fe80::/10")}, "", 200},
	}
}

func TestGrants(t *testing.T) { testAccess(t, grantCases()) }

func TestSources(t *testing.T) { testAccess(t, sourceCases()) }

func testAccess(t *testing.T, cases []grantCase) {
	up := newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := openDoor(t, up, both(c.from, c.how), allow(c.grant))
			conn := d.dial(t)
			header := ""
			if c.header != "" {
				header = c.header + "\r\n"
			}
			conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\n"+header+"\r\n")
			if response, body := conn.response(t, "GET"); response.StatusCode != c.want {
				t.Errorf("status %d, want %d; %s", response.StatusCode, c.want, body)
			}
		})
	}
}

func both(a, b func(*setup)) func(*setup) {
	return func(s *setup) {
		a(s)
		if b != nil {
			b(s)
		}
	}
}

// Whichever of its addresses a program on this host uses, it is local.
func TestTheHostsOwnAddressesAreLocal(t *testing.T) {
	up := newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {})
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		from := netip.AddrPortFrom(netip.MustParsePrefix(a.String()).Addr(), 4000)
		d := openDoor(t, up, between(from.String(), "192.0.2.8:8080"), onTailnet(), ownedBy(1000))
		conn := d.dial(t)
		conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if response, body := conn.response(t, "GET"); response.StatusCode != http.StatusOK {
			t.Errorf("%v: status %d, %s", from, response.StatusCode, body)
		}
	}
}

func TestUnixSocketIsLocal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}), func(s *setup) {
		s.listen = func(t testing.TB) net.Listener {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
	})
	for header, want := range map[string]string{"": "200", "X-Forwarded-For: a\r\n": "403"} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s\r\n", header)
		response, _ := io.ReadAll(c)
		if status := strings.Fields(string(response))[1]; status != want {
			t.Errorf("with %q status %s, want %s; %s", header, status, want, d.log)
		}
		c.Close()
	}
}

// tailscaled is asked once a minute for a connection. One whose request was refused has ended.
func TestWhoIsIsCached(t *testing.T) {
	cases := []struct {
		name  string
		found bool
		err   error
		want  int // status
		asked int64
	}{
		{"found", true, nil, 200, 1},
		{"not found", false, nil, 403, 3},
		{"error", false, errors.New("no response"), 503, 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int64
			d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}), between(peerAddr, hostAddr),
				allow(config.Source{Kind: config.Tailnet}), func(s *setup) {
					s.whoIs = func(_ context.Context, addr netip.AddrPort) (access.Identity, bool, error) {
						if asked.Add(1); addr.String() != peerAddr {
							t.Errorf("asked about %v", addr)
						}
						return knownPeer(), c.found, c.err
					}
				})
			conn := d.dial(t)
			if asked.Load() != 0 {
				t.Error("asked before there was a request")
			}
			for range 3 {
				conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
				response, body := conn.response(t, "GET")
				if response.StatusCode != c.want || response.Close != (c.want != 200) {
					t.Errorf("status %d, want %d; the connection ends: %t; %s", response.StatusCode, c.want, response.Close, body)
				}
				if response.Close {
					conn = d.dial(t)
				}
			}
			if got := asked.Load(); got != c.asked {
				t.Errorf("asked %d times, want %d", got, c.asked)
			}
		})
	}
}

// The kernel is asked once for a connection from this host, whatever the number of its requests.
func TestTheKernelIsAskedOncePerConnection(t *testing.T) {
	for name, how := range map[string]func(*setup){"another user": onTailnet(), "no tailscaled": onTailnet(absent)} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}), how, func(s *setup) {
				s.owner = func(_, _ netip.AddrPort) (uint32, bool, error) {
					asked.Add(1)
					return 1000, true, nil
				}
			})
			conn := d.dial(t)
			for range 3 {
				conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
				if response, body := conn.response(t, "GET"); response.StatusCode != http.StatusOK {
					t.Errorf("status %d; %s", response.StatusCode, body)
				}
			}
			if got := asked.Load(); got != 1 {
				t.Errorf("asked %d times", got)
			}
		})
	}
}

// A bug costs one request, not the process, and is reported.
func TestPanicIsAnInternalError(t *testing.T) {
	var again atomic.Bool
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}), between(peerAddr, hostAddr),
		allow(config.Source{Kind: config.Tailnet}), func(s *setup) {
			s.whoIs = func(context.Context, netip.AddrPort) (access.Identity, bool, error) {
				if again.Swap(true) {
					return knownPeer(), true, nil
				}
				panic("a bug")
			}
		})
	conn := d.dial(t)
	conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	response, body := conn.response(t, "GET")
	ours(t, response, body, 500, "internal", "proxy_internal_error")
	if strings.Contains(body, "a bug") || !strings.Contains(d.log.String(), "a bug") {
		t.Errorf("body %s, log %s", body, d.log)
	}
	conn = d.dial(t)
	conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if response, body = conn.response(t, "GET"); response.StatusCode != 200 {
		t.Errorf("status %d, %s", response.StatusCode, body)
	}
}

func TestWhoIsOnlyForTailnetAddresses(t *testing.T) {
	for _, from := range []func(*setup){between(otherAddr, "192.0.2.8:8080"), between("127.0.0.1:1", "127.0.0.1:2"), between(peerAddr, "192.0.2.8:8080")} {
		d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}), from, func(s *setup) {
			s.whoIs = func(_ context.Context, addr netip.AddrPort) (access.Identity, bool, error) {
				t.Errorf("asked about %v", addr)
				return access.Identity{}, false, nil
			}
		})
		conn := d.dial(t)
		conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		conn.response(t, "GET")
	}
}

func TestFunnelRefusedWithoutIdentity(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}), between(peerAddr, hostAddr), func(s *setup) {
		s.whoIs = func(context.Context, netip.AddrPort) (access.Identity, bool, error) {
			return access.Identity{}, false, errors.New("no response")
		}
	})
	conn := d.dial(t)
	conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\nTailscale-Funnel-Request: ?1\r\n\r\n")
	if response, body := conn.response(t, "GET"); response.StatusCode != 403 || !strings.Contains(body, "Funnel") {
		t.Errorf("status %d, %s", response.StatusCode, body)
	}
}

// A reload takes effect on connections that are open.
func TestAccessIsJudgedPerRequest(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}))
	conn := d.dial(t)
	want := []int{200, 403, 200}
	for i, grant := range []config.SourceKind{config.Local, config.Tailnet, config.Local} {
		s := d.settings
		s.Access.Allow = []config.Source{{Kind: grant}}
		apply, err := d.Prepare(s)
		if err != nil {
			t.Fatal(err)
		}
		apply()
		conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		response, body := conn.response(t, "GET")
		if response.StatusCode != want[i] {
			t.Errorf("status %d, want %d; %s", response.StatusCode, want[i], body)
		}
		if response.Close {
			conn = d.dial(t)
		}
	}
}

func TestDenialLog(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}), between(peerAddr, hostAddr),
		knows(taggedPeer()), allow(config.Source{Kind: config.User, Value: "a@example.com"}))
	for range 5 {
		conn := d.dial(t)
		conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		_, body := conn.response(t, "GET")
		if !strings.Contains(body, "logging in again does not help") {
			t.Errorf("what helps is not in %s", body)
		}
		for _, part := range []string{"ai.tail1.ts.net", "tag:aperture", "100.70.1.1", "access.allow", "a@example.com"} {
			if strings.Contains(body, part) {
				t.Errorf("a stranger learns %q: %s", part, body)
			}
		}
	}
	lines, _ := d.log.look() // a response comes after all about the request before it
	if len(lines) != 1 || !strings.Contains(lines[0], `"node":"ai.tail1.ts.net"`) || !strings.Contains(lines[0], `"tags":"tag:aperture,tag:b"`) {
		t.Errorf("logged %q", lines)
	}
	if got := counter(t, d, "proxy_errors_total"); got < 4 {
		t.Errorf("counted %v, want at least 4", got)
	}
}
