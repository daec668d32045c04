package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
)

// limitedUpstream responds with what the path says that the account has used of 5h: /0.3, or
// /0.3/wait to keep the response open until the channel is closed, or /0.3/late to begin it then.
func limitedUpstream(t *testing.T) (up *mockAPI, ends chan struct{}) {
	ends = make(chan struct{})
	return newUpstream(t, "http1", func(w http.ResponseWriter, r *http.Request) {
		used, wait := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/"), "/wait")
		used, late := strings.CutSuffix(used, "/late")
		if late {
			<-ends
		}
		w.Header().Set("anthropic-organization-id", "3f2c1d9e-org")
		w.Header().Set("anthropic-ratelimit-unified-status", "allowed")
		w.Header().Set("anthropic-ratelimit-unified-5h-utilization", used)
		w.Header().Set("Content-Length", "2") // so that the client sees the end before the handler ends
		io.WriteString(w, "o")
		w.(http.Flusher).Flush()
		if wait {
			<-ends
		}
		io.WriteString(w, "k")
	}), ends
}

// people are known to tailscaled by the port they come from.
func people(names map[uint16]string) func(*setup) {
	return asks(func(_ context.Context, from netip.AddrPort) (access.Identity, bool, error) {
		return access.Identity{Node: "node", User: names[from.Port()] + "@example.com"}, true, nil
	})
}

// usedBy says who used 5h of the only account.
func (d *door) usedBy(t *testing.T) string {
	t.Helper()
	accounts := d.RateLimits().Report()
	if len(accounts) != 1 || accounts[0].Windows[1].Name != "5h" {
		t.Fatalf("accounts %+v", accounts)
	}
	w := accounts[0].Windows[1]
	var text strings.Builder
	for _, u := range w.UsedBy {
		fmt.Fprintf(&text, "%s/%s %v, ", u.Person, u.Session, u.Utilization)
	}
	return fmt.Sprintf("%sunknown %v", text.String(), w.Unknown)
}

// client is a person with a connection of their own.
type limitedClient struct {
	*rawConn
	t       *testing.T
	session string
}

func (c limitedClient) begin(path string) {
	c.send(c.t, "GET "+path+" HTTP/1.1\r\nHost: h\r\nX-Claude-Code-Session-Id: "+c.session+"\r\n\r\n")
	if r, err := http.ReadResponse(c.in, nil); err != nil || r.StatusCode != http.StatusOK {
		c.t.Fatalf("%v, %v", r, err)
	}
}

func (c limitedClient) end() {
	if _, err := io.ReadFull(c.in, make([]byte, 2)); err != nil {
		c.t.Fatal(err)
	}
}

func (c limitedClient) get(path string) { c.begin(path); c.end() }

// openLimited is a door with two people, of which the first has two sessions.
func openLimited(t *testing.T, change func(*setup)) (d *door, alice, again, bob limitedClient, ends chan struct{}) {
	up, ends := limitedUpstream(t)
	names := make(map[uint16]string)
	d = openDoor(t, up, people(names), allow(config.Source{Kind: config.Tailnet}), onTailnet(userspace), change)
	dial := func(name, session string) limitedClient {
		c := d.dial(t)
		names[netip.MustParseAddrPort(c.LocalAddr().String()).Port()] = name
		return limitedClient{c, t, session}
	}
	return d, dial("alice", "s1"), dial("alice", "s2"), dial("bob", "s3"), ends
}

func TestRisesBelongToTheirPeople(t *testing.T) {
	d, alice, again, bob, ends := openLimited(t, func(*setup) {})
	alice.get("/0.1")
	alice.get("/0.2")
	bob.get("/0.25")
	again.get("/0.26")
	const first = "alice@example.com/s1 0.1, bob@example.com/s3 0.05, alice@example.com/s2 0.01, "
	if got, want := d.usedBy(t), first+"unknown 0.1"; got != want {
		t.Errorf("one after the other: %s, want %s", got, want)
	}
	alice.begin("/0.26/wait")
	again.get("/0.30") // whose session is not known
	bob.get("/0.4")    // of either, so of nobody
	close(ends)
	alice.end()
	const all = "alice@example.com/s1 0.1, bob@example.com/s3 0.05, alice@example.com/ 0.04, alice@example.com/s2 0.01, unknown 0.2"
	if got := d.usedBy(t); got != all {
		t.Errorf("at once: %s, want %s", got, all)
	}
}

// A request that waits in the queue uses nothing.
func TestQueueMakesNoRiseUnknown(t *testing.T) {
	d, alice, _, bob, ends := openLimited(t, func(s *setup) { s.Proxy.MaxConnections = 1 })
	alice.begin("/0.1/wait")
	bob.send(t, "GET /0.2 HTTP/1.1\r\nHost: h\r\n\r\n")
	eventually(t, "the other waits", func() bool { return d.Stats().Queued == 1 })
	close(ends)
	alice.end()
	bob.response(t, http.MethodGet)
	if got, want := d.usedBy(t), "bob@example.com/ 0.1, unknown 0.1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Nobody knows whose use the first of two responses shows, if both requests waited.
func TestWaitingPeopleMakeARiseUnknown(t *testing.T) {
	d, alice, _, bob, ends := openLimited(t, func(*setup) {})
	bob.get("/0.1")
	bob.send(t, "GET /0.3/late HTTP/1.1\r\nHost: h\r\n\r\n")
	eventually(t, "the other waits for its response", func() bool {
		open := d.InFlight()
		return len(open) == 1 && open[0].Phase() == "waiting"
	})
	alice.get("/0.2")
	if got, want := d.usedBy(t), "unknown 0.2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	close(ends)
	bob.response(t, http.MethodGet)
	alice.get("/0.4")
	if got, want := d.usedBy(t), "alice@example.com/s1 0.1, unknown 0.3"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPeopleAreNamedAsTheLogDoes(t *testing.T) {
	for mode, row := range map[string]struct {
		shown func(string) string
		want  string
	}{
		"hashed": {func(name string) string { return fmt.Sprintf("%x", name[:1]) }, "61/s1 0.1, 62/s3 0.05, unknown 0.1"},
		"none":   {func(string) string { return "" }, "/s1 0.1, /s3 0.05, unknown 0.1"},
	} {
		t.Run(mode, func(t *testing.T) {
			d, alice, _, bob, _ := openLimited(t, func(s *setup) { s.LogIdentity = row.shown })
			alice.get("/0.1")
			alice.get("/0.2")
			bob.get("/0.25")
			if got := d.usedBy(t); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
			d.ForgetSenders()
			if left := d.RateLimits().Report(); len(left) > 0 {
				t.Errorf("not forgotten: %+v", left)
			}
		})
	}
}

func TestLimitMetricsNameNobody(t *testing.T) {
	d, alice, _, bob, _ := openLimited(t, func(*setup) {})
	alice.get("/0.1")
	bob.get("/0.25")
	families, err := d.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(families)
	if !strings.Contains(text, "proxy_upstream_utilization_max_ratio") {
		t.Error("the metrics lack the utilization")
	}
	for _, name := range []string{"alice", "bob", "3f2c1d9e", d.RateLimits().Report()[0].ID} {
		if strings.Contains(text, name) {
			t.Errorf("the metrics have %q", name)
		}
	}
}
