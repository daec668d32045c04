package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
)

// denyAll admits nobody.
func denyAll(s *setup) { s.Access.Allow = nil }

// sent sends text from an address and reads the response.
func (b *bubble) sent(t *testing.T, address, text string) *http.Response {
	t.Helper()
	c := b.from(t, address)
	go func() { _, _ = c.Write([]byte(text)) }() // more of it than is read, at times
	response, _ := c.response(t, http.MethodGet)
	_ = c.Close()
	synctest.Wait()
	return response
}

// lines are those about requests so far.
func (b *bubble) lines() []string {
	synctest.Wait()
	lines, _ := b.log.look()
	return lines
}

// A sender that is not admitted causes one line a minute, whatever it sends.
func TestRefusedSenderLogBound(t *testing.T) {
	const head = " HTTP/1.1\r\nHost: h\r\n"
	floods := []string{
		smuggled,
		"GET /a" + head + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"CONNECT /a" + head + "\r\n",
		"POST /a" + head + "Content-Length: 9223372036854775807\r\n\r\n",
		"OPTIONS /a" + head + "\r\n",
		headerOf(80 << 10),
		"secret\r\n\r\n",
		http2.ClientPreface,
	}
	synctest.Test(t, func(t *testing.T) {
		b := openBubble(t, "http", nil, sayAgain, denyAll)
		for range 3 {
			for _, text := range floods {
				b.sent(t, otherAddr, text)
			}
		}
		if lines := b.lines(); len(lines) != 1 || !strings.Contains(lines[0], `"level":"WARN"`) || strings.Contains(lines[0], "suppressed") {
			t.Errorf("logged:\n%s", strings.Join(lines, ""))
		}
		time.Sleep(61 * time.Second)
		b.sent(t, otherAddr, smuggled)
		b.sent(t, otherAddr, smuggled)
		if lines := b.lines(); len(lines) != 2 || !strings.Contains(lines[1], fmt.Sprintf(`"suppressed":%d}`, 3*len(floods)-1)) {
			t.Errorf("a minute later, logged:\n%s", strings.Join(lines, ""))
		}
	})
}

// A sender of whom tailscaled does not say who it is was not admitted either.
func TestUnidentifiedSenderLogBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBubble(t, "http", nil, sayAgain, allow(config.Source{Kind: config.Tailnet}),
			asks(func(context.Context, netip.AddrPort) (access.Identity, bool, error) {
				return access.Identity{}, false, errors.New("ill")
			}))
		for range 3 {
			if response := b.sent(t, peerAddr, smuggled); response.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("status %d", response.StatusCode)
			}
		}
		if lines := b.lines(); len(lines) != 1 || !strings.Contains(lines[0], `"outcome":"tailnet_unavailable"`) {
			t.Errorf("logged:\n%s", strings.Join(lines, ""))
		}
	})
}

// Every request of an admitted client is logged, malformed ones, too.
func TestAdmittedSendersAreLoggedInFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBubble(t, "http", nil, sayAgain, allow(config.Source{Kind: config.CIDR, Prefix: netip.MustParsePrefix("192.0.2.0/24")}))
		for range 3 {
			b.sent(t, otherAddr, "CONNECT /a HTTP/1.1\r\nHost: h\r\n\r\n")
			b.sent(t, otherAddr, smuggled)
		}
		if lines := b.lines(); len(lines) != 6 {
			t.Errorf("logged:\n%s", strings.Join(lines, ""))
		}
	})
}

// A sender is an address, and a network of IPv6, except in the tailnet.
func TestRefusedSendersKeptApart(t *testing.T) {
	for _, c := range []struct {
		name, one, other string
		want             int
	}{
		{"two ports", "192.0.2.7:1", "192.0.2.7:2", 1},
		{"two addresses", "192.0.2.7:1", "192.0.2.8:1", 2},
		{"two addresses of a network", "[2001:db8::1]:1", "[2001:db8::ffff:2]:1", 1},
		{"two networks", "[2001:db8::1]:1", "[2001:db8:0:1::1]:1", 2},
		{"two nodes", "[fd7a:115c:a1e0::1]:1", "[fd7a:115c:a1e0::2]:1", 2},
		{"the same, mapped", "192.0.2.7:1", "[::ffff:192.0.2.7]:1", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := openBubble(t, "http", nil, sayAgain, denyAll)
				for _, address := range []string{c.one, c.other, c.one, c.other} {
					b.sent(t, address, smuggled)
				}
				if lines := b.lines(); len(lines) != c.want {
					t.Errorf("%d lines, want %d:\n%s", len(lines), c.want, strings.Join(lines, ""))
				}
			})
		})
	}
}

// A flood of addresses shares lines, and has nobody forgotten who was logged.
func TestDenialLogFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBubble(t, "http", nil, sayAgain, denyAll)
		flood := func() {
			for i := range 1000 {
				b.sent(t, fmt.Sprintf("198.51.%d.%d:1", i/250, i%250), smuggled)
			}
		}
		b.sent(t, otherAddr, smuggled)
		flood()
		b.sent(t, otherAddr, smuggled)
		if n := len(b.lines()); n != 257 {
			t.Errorf("%d lines, want 256 and one of all others", n)
		}
		time.Sleep(61 * time.Second)
		b.sent(t, otherAddr, smuggled)
		if lines := b.lines(); len(lines) != 258 || !strings.Contains(lines[257], `"suppressed":1}`) {
			t.Errorf("a minute later: %d lines, the last %s", len(lines), lines[len(lines)-1])
		}
		flood()
		if n := len(b.lines()); n != 258+257-1 {
			t.Errorf("%d lines after another flood", n)
		}
	})
}
