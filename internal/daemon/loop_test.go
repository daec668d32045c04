package daemon

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/tailnet"
)

func TestViewsDoNotChange(t *testing.T) {
	d := newTestDaemon()
	before := d.view()
	d.publish(func(v *view) { v.upgradeFault = "failed" })
	d.publish(func(v *view) { v.tailscaled = tailnet.Status{Name: "box"} })
	if before.upgradeFault != "" || d.view().upgradeFault != "failed" || d.view().tailscaled.Name != "box" {
		t.Errorf("before %+v, after %+v", before, d.view())
	}
}

// newTestDaemon returns a daemon with what its loop needs.
func newTestDaemon() *daemon {
	d := &daemon{calls: make(chan func(), 64)}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.latest.Store(&view{})
	return d
}

func TestSendAfterTheLoopEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestDaemon()
		d.cancel()
		sent := false
		go func() {
			for range cap(d.calls) + 1 {
				d.send(lifecycle.ReloadRequested{})
			}
			sent = true
		}()
		synctest.Wait()
		if !sent {
			t.Error("send waits for nobody")
		}
	})
}

func TestTimerCallsInTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestDaemon()
		called := false
		d.after(time.Minute, func() { called = true })
		d.after(time.Hour, func() {})
		began := time.Now()
		if f := <-d.calls; time.Since(began) != time.Minute {
			t.Errorf("after %v", time.Since(began))
		} else if f(); !called {
			t.Error("another function")
		}
		d.cancel()
		d.work.Wait()
		if len(d.calls) > 0 {
			t.Error("a timer outlives its context")
		}
	})
}

func TestWatchdogCountsLostProbes(t *testing.T) {
	var w watchdog
	for _, lost := range []bool{true, false, true, true} {
		w.record(lost)
	}
	if w.lost != probesLost {
		t.Errorf("%d lost in a row", w.lost)
	}
}

func TestHostNamesThisNode(t *testing.T) {
	d := &daemon{}
	d.latest.Store(&view{tailscaled: tailnet.Status{Name: "box.tail.ts.net"}})
	for _, row := range []struct {
		host, from string
		want       bool
	}{
		{"localhost", "127.0.0.1:1", true},
		{"LOCALHOST:8080", "127.0.0.1:1", true},
		{"192.0.2.1:8080", "192.0.2.9:1", true},
		{"[fd7a::1]:8080", "[fd7a::2]:1", true},
		{"box", "100.64.0.1:1", true},
		{"Box.tail.ts.net.:8080", "100.64.0.1:1", true},
		{"evil.example", "127.0.0.1:1", false},
		{"box.evil.example", "127.0.0.1:1", false},
		{"evil.example", "@", true}, // a Unix socket
		{"", "127.0.0.1:1", true},
	} {
		r := &http.Request{Host: row.host, RemoteAddr: row.from}
		if got := d.namesThisNode(r); got != row.want {
			t.Errorf("Host %q from %s: %v", row.host, row.from, got)
		}
	}
}
