package tailnet_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tailscale.com/ipn"
)

func TestFollowSettles(t *testing.T) {
	d := startDaemon(t)
	cfg := quiet(d.socket)
	cfg.SettleInterval = 30 * time.Millisecond
	next(t, follow(t, cfg))
	read(t, d)
	begun := time.Now()
	const readings = 5
	for range readings {
		d.Notify()
		read(t, d)
	}
	if took, least := time.Since(begun), (readings-1)*cfg.SettleInterval; took < least {
		t.Errorf("read %d times in %v, want %v at least", readings, took, least)
	}
}

func TestFollowMask(t *testing.T) {
	d := startDaemon(t)
	follow(t, quiet(d.socket))
	want := ipn.NotifyInitialState | ipn.NotifyInitialPrefs | ipn.NotifyInitialHealthState | ipn.NotifyNoPrivateKeys
	if got := watched(t, d); got != fmt.Sprint(uint64(want)) {
		t.Errorf("mask = %s, want %d", got, want)
	}
}

func TestFollowPollsWithoutBus(t *testing.T) {
	tests := []struct {
		name string
		bus  http.HandlerFunc
	}{
		{"bad mask", respond(400, "bad mask")},
		{"forbidden", respond(403, "denied")},
		{"ends at once", respond(200, "")},
		{"garbage", respond(200, "<html>")},
		{"hangs", hang},
		{"never says a thing", func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); hang(w, r) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := startDaemon(t)
			d.Handle("watch-ipn-bus", tt.bus)
			cfg := quiet(d.socket)
			cfg.BackoffMin, cfg.RereadInterval = time.Millisecond, 20*time.Millisecond
			reports := follow(t, cfg)
			next(t, reports)
			watched(t, d)
			d.SetStatus(statusJSON("Stopped", ""))
			if r := next(t, reports); r.Status.Backend != "Stopped" {
				t.Errorf("report = %+v, want Stopped", r)
			}
		})
	}
}

func TestFollowHangingBus(t *testing.T) {
	d := startDaemon(t)
	d.Handle("watch-ipn-bus", hang)
	cfg := quiet(d.socket)
	cfg.AttemptTimeout = 100 * time.Millisecond
	cfg.BackoffMin, cfg.BackoffMax = time.Millisecond, 5*time.Millisecond
	follow(t, cfg)
	watched(t, d)
	watched(t, d)
}

func TestFollowRefusedBusBacksOff(t *testing.T) {
	d := startDaemon(t)
	d.Handle("watch-ipn-bus", respond(400, "bad mask"))
	cfg := quiet(d.socket)
	cfg.BackoffMin = time.Millisecond
	follow(t, cfg)
	begun := time.Now()
	for range 8 {
		read(t, d)
	}
	if took, least := time.Since(begun), 95*time.Millisecond; took < least { // three quarters of 1+2+4+…+64
		t.Errorf("asked for the bus 8 times in %v, want %v at least", took, least)
	}
}

// TestFollowLongLines of a daemon that is old enough to send the network map of a big tailnet.
func TestFollowLongLines(t *testing.T) {
	d, lines := startDaemon(t), make(chan string, 1)
	d.Handle("watch-ipn-bus", func(w http.ResponseWriter, r *http.Request) {
		for {
			select {
			case line := <-lines:
				io.WriteString(w, line+"\n")
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	reports := follow(t, quiet(d.socket))
	lines <- `{"State":6}`
	next(t, reports)
	d.SetStatus(statusJSON("Stopped", ""))
	lines <- `{"Pad":"` + strings.Repeat("x", 5<<20) + `","State":4}`
	next(t, reports)
	d.SetStatus(statusJSON("Running", "")) // it would have to be opened again to hear this
	lines <- `{"State":6}`
	next(t, reports)
	if n := len(d.watched); n != 1 {
		t.Errorf("opened the bus %d times, want 1", n)
	}
}

// TestFollowReopensBus when a daemon that refused it does no more, with nothing but the back-off to
// bring it about.
func TestFollowReopensBus(t *testing.T) {
	d := startDaemon(t)
	var asked atomic.Int32
	d.Handle("watch-ipn-bus", func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 5 {
			d.Handle("watch-ipn-bus", nil)
		}
		http.Error(w, "bad mask", http.StatusBadRequest)
	})
	cfg := quiet(d.socket)
	cfg.BackoffMin, cfg.BackoffMax = time.Millisecond, 5*time.Millisecond
	reports := follow(t, cfg)
	next(t, reports)
	for range 6 {
		watched(t, d)
	}
	d.become(statusJSON("Stopped", ""))
	if r := next(t, reports); r.Status.Backend != "Stopped" {
		t.Errorf("report = %+v, want Stopped", r)
	}
}

func TestFollowRereadsOnSilentBus(t *testing.T) {
	d := startDaemon(t)
	cfg := quiet(d.socket)
	cfg.BackoffMin, cfg.RereadInterval = time.Millisecond, time.Millisecond
	reports := follow(t, cfg)
	next(t, reports)
	d.SetStatus(statusJSON("Stopped", "")) // and the bus keeps silent
	if r := next(t, reports); r.Status.Backend != "Stopped" {
		t.Errorf("report = %+v, want Stopped", r)
	}
}

// A bus that is granted and ends at once is not asked for without a pause.
func TestFollowBusThatEnds(t *testing.T) {
	d := startDaemon(t)
	d.Handle("watch-ipn-bus", respond(200, `{"State":6}`+"\n"))
	cfg := quiet(d.socket)
	cfg.BackoffMin = 20 * time.Millisecond
	follow(t, cfg)
	const times = 6
	watched(t, d)
	begun := time.Now()
	for range times {
		watched(t, d)
	}
	if took, least := time.Since(begun), (times-1)*cfg.BackoffMin; took < least {
		t.Errorf("opened %d times in %v, want %v at least", times, took, least)
	}
}

// While the command alone responds, it is asked every RereadInterval.
func TestFollowByCommand(t *testing.T) {
	dir := commands(t, map[string]string{"tailscale": `read -r s < "${0%/*}/status"; echo "$s"`})
	become := func(state string) {
		text := strings.ReplaceAll(statusJSON(state, ""), "\n", "") + "\n"
		if err := os.WriteFile(dir+"/new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+"/new", dir+"/status"); err != nil {
			t.Fatal(err)
		}
	}
	become("Running")
	cfg := quiet(socketPath(t))
	cfg.RereadInterval = 20 * time.Millisecond
	reports := follow(t, cfg)
	if r := next(t, reports); r.Err != nil || !r.Status.ByCommand {
		t.Errorf("report = %+v, want one by the command", r)
	}
	become("Stopped")
	if r := next(t, reports); r.Status.Backend != "Stopped" {
		t.Errorf("report = %+v, want Stopped", r)
	}
}
