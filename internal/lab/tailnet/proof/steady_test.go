package proof_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/tailnet"
)

// stream is a response that has begun.
type stream struct {
	t    *testing.T
	body io.ReadCloser
}

// open begins one from a node, and returns when its first event has arrived there.
func open(t *testing.T, from *tailnet.Node, url string, g *gated) *stream {
	t.Helper()
	res, err := from.Client().Get(url + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	<-g.arrived
	first := make([]byte, len(firstEvent))
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != firstEvent {
		t.Fatalf("%v after %q", err, first)
	}
	return &stream{t, res.Body}
}

// wantWhole reads it to its end.
func (s *stream) wantWhole() {
	s.t.Helper()
	rest, err := io.ReadAll(s.body)
	if err != nil || string(rest) != lastEvent {
		s.t.Errorf("%v after %q", err, rest)
	}
}

func TestAFlapDropsNothingInFlight(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		lab := tailnet.Start(t)
		node := lab.Node(tailnet.Spec{Name: "proxy", TUN: tun})
		peer := lab.Node(tailnet.Spec{Name: "peer", TUN: tun})
		g := newGated(t, node)
		d := start(t, setting{node: node, upstream: g.url})
		streams := []*stream{open(t, node, d.local(), g)}
		if tun { // in userspace mode a connection from a peer ends at tailscaled, and with it
			streams = append(streams, open(t, peer, d.url(), g))
		}
		lab.LoseControl()
		lab.RestoreControl()
		node.Down()
		d.follows("tailscale down", false, "Stopped", "tailscale up")
		node.Up()
		d.follows("tailscale up", true, "Running", "tailnet connected")
		node.Kill()
		d.follows("tailscaled killed", false, "", "not connected")
		node.Run()
		node.Await("Running")
		d.follows("tailscaled started", true, "Running", "tailnet connected")
		close(g.gate)
		for _, s := range streams {
			s.wantWhole()
		}
	})
}

// TestAPeerIsServedOnWithoutControl has connections that control has no part in.
func TestAPeerIsServedOnWithoutControl(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		lab := tailnet.Start(t)
		node := lab.Node(tailnet.Spec{Name: "proxy", TUN: tun})
		peer := lab.Node(tailnet.Spec{Name: "peer", TUN: tun})
		g := newGated(t, node)
		d := start(t, setting{node: node, upstream: g.url})
		before := open(t, peer, d.url(), g)
		lab.LoseControl()
		get(t, peer, d.url()+"/x").Want(t, 200, "GET /x")
		if h := d.health(); h.Status != "healthy" {
			t.Errorf("health %+v, although peers are served", h)
		}
		close(g.gate)
		before.wantWhole()
	})
}

// TestATailscaledThatHangsStallsOnlyWhoNeedsIt freezes it between a peer's connection and the
// question who that is.
func TestATailscaledThatHangsStallsOnlyWhoNeedsIt(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		lab := tailnet.Start(t)
		node := lab.Node(tailnet.Spec{Name: "proxy", TUN: tun})
		peer := lab.Node(tailnet.Spec{Name: "peer", TUN: tun})
		tap := newTap(t, node)
		d := start(t, setting{node: node, upstream: newGated(t, node).url, env: tap.env()})
		kept := node.ClientAs(ordinary()) // has an identity already
		wantOK := func() {
			t.Helper()
			began := time.Now()
			a, err := daemontest.Ask(kept, http.MethodGet, d.local()+"/here", "")
			if err != nil {
				t.Fatal(err)
			}
			a.Want(t, 200, "GET /here")
			if took := time.Since(began); took > time.Second {
				t.Errorf("a local client waited for %v", took)
			}
		}
		wantOK()
		tap.hang(whoisPath)
		stalled := make(chan daemontest.Response, 1)
		go func() {
			client := peer.Client()
			defer client.CloseIdleConnections()
			a, err := daemontest.Ask(client, http.MethodGet, d.url()+"/there", "")
			if err != nil {
				t.Error(err)
			}
			stalled <- a
		}()
		daemontest.Eventually(t, "the question who that is", func() bool { return tap.count(whoisPath) > 0 })
		for range 10 {
			wantOK()
			getHere(t, node, d.local()+"/here").Want(t, 200) // nobody has to be asked about a new one
		}
		(<-stalled).Want(t, http.StatusServiceUnavailable, "tailnet_unavailable")
		node.Freeze()
		defer node.Thaw()
		wantOK()
		d.notes.Next(t, "STATUS=", "no response on")
		wantOK()
	})
}
