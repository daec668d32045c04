package proof_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/tailnet"
)

// stranger is a peer that is not allowed to send requests and keeps sending them, each on a new
// connection.
type stranger struct {
	t    *testing.T
	quit chan struct{}
	once sync.Once
	work sync.WaitGroup

	mu  sync.Mutex
	got map[int]int // how often, by status
}

// hammer starts a stranger. Its timeout is short so that new connections are attempted all the
// time: a slow one would miss the moment that the test is about.
func hammer(t *testing.T, from *tailnet.Node, url string) *stranger {
	t.Helper()
	s := &stranger{t: t, quit: make(chan struct{}), got: map[int]int{}}
	for range 4 {
		c := from.Client()
		c.Timeout = 400 * time.Millisecond
		c.Transport.(*http.Transport).DisableKeepAlives = true
		s.work.Go(func() { s.repeat(c, url) })
	}
	t.Cleanup(s.end)
	return s
}

func (s *stranger) repeat(c *http.Client, url string) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.quit:
			return
		}
		if a, err := daemontest.Ask(c, http.MethodGet, url, ""); err == nil {
			s.mu.Lock()
			s.got[a.Status]++
			s.mu.Unlock()
		}
	}
}

func (s *stranger) end() {
	s.once.Do(func() { close(s.quit) })
	s.work.Wait()
}

func (s *stranger) count(status int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got[status]
}

// wantNeverIn waits until the stranger is identified, and checks all responses until then.
func (s *stranger) wantNeverIn() {
	s.t.Helper()
	daemontest.Eventually(s.t, "the stranger is identified", func() bool { return s.count(http.StatusForbidden) >= 10 })
	s.end()
	s.t.Logf("responses by status: %v", s.got)
	for status, n := range s.got {
		if status != http.StatusForbidden && status != http.StatusServiceUnavailable {
			s.t.Errorf("%d responses with status %d", n, status)
		}
	}
}

// TestNoPeerIsLocalWhileTailscaledStarts has a peer send requests from the first moment on. The
// daemon may not know yet that tailscaled delivers its peers from loopback.
func TestNoPeerIsLocalWhileTailscaledStarts(t *testing.T) {
	t.Parallel()
	if !canTUN(t) { // on this host, other tailscaleds run
		return
	}
	for _, row := range []struct {
		name  string
		order func(d *daemon, host *tailnet.Node)
	}{
		{"after the daemon", func(d *daemon, host *tailnet.Node) {
			host.Stop()
			d.run()
			d.notes.Next(d.t, "READY=1")
			host.Run()
		}},
		{"again", func(d *daemon, host *tailnet.Node) {
			d.run()
			d.notes.Next(d.t, "READY=1")
			host.Restart()
		}},
		{"with the daemon", func(d *daemon, host *tailnet.Node) {
			host.Stop()
			started := make(chan struct{})
			go func() { defer close(started); host.Run() }()
			d.run()
			<-started
		}},
		{"before the daemon", func(d *daemon, _ *tailnet.Node) { d.run() }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			lab := tailnet.Start(t)
			host := lab.Node(tailnet.Spec{Name: "proxy", OwnHost: true})
			peer := lab.Node(tailnet.Spec{Name: "peer"})
			w := newRecorder(t, host)
			d := newDaemon(t, setting{node: host, upstream: w.url, blocks: []string{list("local")}})
			s := hammer(t, peer, d.url()+"/stranger")
			hammer(t, host, "http://"+peer.DNSName()+":1/") // else WireGuard takes seconds to find the peer
			row.order(d, host)
			host.Await("Running")
			s.wantNeverIn()
			if w.saw("/stranger") {
				t.Error("a request of the stranger reached the upstream")
			}
			d.wantLocal("/own")
		})
	}
}

// TestNoPeerIsLocalBeforeTailscaledResponds has a tailscaled that already delivers its peers, but
// does not respond to the daemon yet.
func TestNoPeerIsLocalBeforeTailscaledResponds(t *testing.T) {
	t.Parallel()
	if !canTUN(t) {
		return
	}
	for name, silent := range map[string][]string{
		"to questions about itself": {statusPath, busPath},
		"to anything":               {statusPath, busPath, whoisPath},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lab := tailnet.Start(t)
			host := lab.Node(tailnet.Spec{Name: "proxy", OwnHost: true})
			peer := lab.Node(tailnet.Spec{Name: "peer"})
			tap := newTap(t, host)
			tap.hang(silent...)
			w := newRecorder(t, host)
			d := newDaemon(t, setting{node: host, upstream: w.url, env: tap.env(), blocks: []string{list("local")}})
			d.run()
			w.wantOutside(t, "/first", reach(t, peer, d.url()+"/first"))
			d.wantLocal("/own")
			tap.hang()
			daemontest.Eventually(t, "healthy", func() bool { return d.health().Status == "healthy" })
			w.wantOutside(t, "/later", get(t, peer, d.url()+"/later"), "access_denied")
		})
	}
}
