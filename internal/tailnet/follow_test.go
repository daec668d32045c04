package tailnet_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oauth-proxyd/internal/tailnet"
)

// quiet is a Config under which nothing is read again within a test's time unless something
// happened; a test shortens the one interval it is about.
func quiet(socket string) tailnet.Config {
	return tailnet.Config{
		Socket:         socket,
		BackoffMin:     time.Hour,
		BackoffMax:     time.Hour,
		RereadInterval: time.Hour,
		SettleInterval: time.Millisecond,
		WarningDelay:   time.Hour,
	}
}

// follow runs Follow for the length of the test.
func follow(t *testing.T, cfg tailnet.Config) <-chan tailnet.Report {
	t.Helper()
	reports := make(chan tailnet.Report, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { tailnet.New(cfg).Follow(ctx, func(r tailnet.Report) { reports <- r }) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return reports
}

// next returns the next report.
func next(t *testing.T, reports <-chan tailnet.Report) tailnet.Report {
	t.Helper()
	select {
	case r := <-reports:
		if (r.Err == nil) != (r.Status.Backend == "Running") {
			t.Errorf("Report = %+v: the error and the state disagree", r)
		}
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("no report came")
		return tailnet.Report{}
	}
}

// awaitConnected skips what a socket says that is bound but not yet listened on.
func awaitConnected(t *testing.T, reports <-chan tailnet.Report) {
	t.Helper()
	for r := next(t, reports); r.Err != nil; r = next(t, reports) {
		fails(t, r.Err, retry, "refused")
	}
}

// watched waits until the bus is watched, and gives the mask.
func watched(t *testing.T, d *daemon) string {
	t.Helper()
	select {
	case mask := <-d.watched:
		return mask
	case <-time.After(20 * time.Second):
		t.Fatal("nobody watches the bus")
		return ""
	}
}

// read waits until the status is read once more.
func read(t *testing.T, d *daemon) {
	t.Helper()
	select {
	case <-d.reads:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody reads the status")
	}
}

func TestFollowReportsChanges(t *testing.T) {
	d := startDaemon(t)
	reports := follow(t, quiet(d.socket))
	if r := next(t, reports); r.Err != nil {
		t.Fatalf("first report = %+v, want connected", r)
	}
	watched(t, d)
	expiry := time.Date(2040, 1, 2, 3, 4, 5, 0, time.UTC)
	changes := []struct {
		name, body string
		ok         func(tailnet.Report) bool
	}{
		{"stopped", statusJSON("Stopped", ""), func(r tailnet.Report) bool { return r.Status.Backend == "Stopped" && r.Err != nil }},
		{"starting", statusJSON("Starting", ""), func(r tailnet.Report) bool { return r.Status.Backend == "Starting" }},
		{"running", statusJSON("Running", ""), func(r tailnet.Report) bool { return r.Err == nil }},
		{"key expiry", withKeyExpiry("Running", expiry), func(r tailnet.Report) bool { return r.Status.KeyExpiry.Equal(expiry) }},
		{
			"name", strings.Replace(statusJSON("Running", ""), "box.tail", "bag.tail", 1),
			func(r tailnet.Report) bool { return r.Status.Name == "bag.tail.ts.net" },
		},
		{
			"addresses", strings.Replace(statusJSON("Running", ""), "100.64.0.7", "100.64.0.8", 1),
			func(r tailnet.Report) bool { return r.Status.Addresses[0].String() == "100.64.0.8" },
		},
		{
			"userspace", strings.Replace(statusJSON("Running", ""), `"TUN":true`, `"TUN":false`, 1),
			func(r tailnet.Report) bool { return r.Status.Userspace },
		},
		{"login URL", statusJSON("NeedsLogin", `,"AuthURL":"https://l/1"`), func(r tailnet.Report) bool { return r.Status.AuthURL != "" }},
	}
	for _, change := range changes {
		d.become(change.body)
		if r := next(t, reports); !change.ok(r) {
			t.Errorf("%s: report = %+v", change.name, r)
		}
	}
}

func TestFollowReportsChangesOnly(t *testing.T) {
	d := startDaemon(t)
	reports := follow(t, quiet(d.socket))
	next(t, reports)
	watched(t, d)
	for range 50 {
		d.become(statusJSON("Running", ""))
	}
	d.become(statusJSON("Stopped", ""))
	if r := next(t, reports); r.Status.Backend != "Stopped" {
		t.Errorf("report = %+v, want only that it stopped", r)
	}
}

func TestFollowDaemonRestart(t *testing.T) {
	commands(t, nil)
	d := startDaemon(t)
	cfg := quiet(d.socket)
	cfg.BackoffMin, cfg.BackoffMax = time.Millisecond, 5*time.Millisecond
	reports := follow(t, cfg)
	next(t, reports)
	watched(t, d)
	for range 3 {
		d.Close()
		for r := next(t, reports); ; r = next(t, reports) { // a broken response may come first
			if failure, ok := errors.AsType[*tailnet.Error](r.Err); ok && outcomeOf(failure) == final {
				break
			}
		}
		d.listen(t)
		awaitConnected(t, reports)
		watched(t, d)
	}
	d.become(statusJSON("Stopped", ""))
	if r := next(t, reports); r.Status.Backend != "Stopped" {
		t.Errorf("report = %+v, want the news of the new bus", r)
	}
}

func TestFollowWaitsForADaemon(t *testing.T) {
	commands(t, nil)
	d := startDaemon(t)
	d.Close()
	cfg := quiet(d.socket)
	cfg.BackoffMin, cfg.BackoffMax = time.Millisecond, 5*time.Millisecond
	reports := follow(t, cfg)
	fails(t, next(t, reports).Err, final)
	d.listen(t)
	awaitConnected(t, reports)
}

func TestFollowReportsNewReason(t *testing.T) {
	commands(t, nil)
	cfg := quiet(socketPath(t))
	cfg.BackoffMin, cfg.BackoffMax = time.Millisecond, 5*time.Millisecond
	reports := follow(t, cfg)
	fails(t, next(t, reports).Err, final)
	if err := os.WriteFile(cfg.Socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, next(t, reports).Err, retry, "connection refused")
}

func TestFollowReportsHang(t *testing.T) {
	d := startDaemon(t)
	cfg := quiet(d.socket)
	cfg.AttemptTimeout = 100 * time.Millisecond
	reports := follow(t, cfg)
	next(t, reports)
	watched(t, d)
	d.Handle("status", hang)
	d.Notify()
	fails(t, next(t, reports).Err, retry, "no response")
}

func TestFollowDebouncesWarnings(t *testing.T) {
	d := startDaemon(t)
	d.SetStatus(statusJSON("Running", `,"Health":["no relay for 1s"]`))
	cfg := quiet(d.socket)
	cfg.WarningDelay = 50 * time.Millisecond
	cfg.BackoffMin, cfg.RereadInterval = time.Millisecond, 10*time.Millisecond
	reports := follow(t, cfg)
	if r := next(t, reports); len(r.Status.Warnings) > 0 {
		t.Errorf("first report has the warnings %q, want none yet", r.Status.Warnings)
	}
	if r := next(t, reports); !slices.Equal(r.Status.Warnings, []string{"no relay for 1s"}) {
		t.Errorf("warnings = %q, want the one that lasted", r.Status.Warnings)
	}
	d.become(statusJSON("Running", `,"Health":["no relay for 2s"]`)) // no news
	d.become(statusJSON("Running", ""))
	if r := next(t, reports); len(r.Status.Warnings) > 0 {
		t.Errorf("warnings = %q, want none any more", r.Status.Warnings)
	}
}

func TestFollowEndsDuringHang(t *testing.T) {
	d := startDaemon(t)
	asked := make(chan bool, 1)
	d.Handle("status", func(w http.ResponseWriter, r *http.Request) { asked <- true; hang(w, r) })
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		tailnet.New(quiet(d.socket)).Follow(ctx, func(r tailnet.Report) { t.Errorf("reported %+v of its own end", r) })
	})
	<-asked
	cancel()
	wg.Wait()
}

// TestFollowSeesLateDaemon has one that starts when the command has been run often enough to be
// left alone.
func TestFollowSeesLateDaemon(t *testing.T) {
	dir := commands(t, map[string]string{"tailscale": "echo run >> \"${0%/*}/runs\"; exit 1"})
	d := startDaemon(t)
	d.Close()
	cfg := quiet(d.socket)
	cfg.BackoffMin = 50 * time.Millisecond
	reports := follow(t, cfg)
	fails(t, next(t, reports).Err, final)
	runs := func() int {
		text, err := os.ReadFile(dir + "/runs")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "run")
	}
	eventually(t, func() bool { return runs() >= 6 }) // the next is due in 1.2 s at the earliest
	before := time.Now()
	d.listen(t)
	awaitConnected(t, reports)
	if took := time.Since(before); took > time.Second {
		t.Errorf("seen after %v", took)
	}
}

func TestFollowKeyNotice(t *testing.T) {
	const day = 24 * time.Hour
	d := startDaemon(t)
	reports := follow(t, quiet(d.socket))
	next(t, reports)
	watched(t, d)
	for _, step := range []struct {
		name         string
		left, notice time.Duration
	}{
		{"in a month", 30 * day, 0},
		{"in more than two weeks", 14*day + time.Hour, 0},
		{"in less than two weeks", 14*day - time.Minute, 14 * day},
		{"in more than three days", 3*day + time.Hour, 14 * day},
		{"in less than three days", 3*day - time.Minute, 3 * day},
		{"in a minute", time.Minute, 3 * day},
		{"expired", -time.Minute, 0},
	} {
		d.become(withKeyExpiry("Running", time.Now().Add(step.left)))
		if r := next(t, reports); r.Status.KeyNotice != step.notice {
			t.Errorf("%s: notice %v, want %v", step.name, r.Status.KeyNotice, step.notice)
		}
	}
}

func TestBackoffBounds(t *testing.T) {
	for failures, base := range map[int]time.Duration{1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 6: 30, 7: 30, 1000: 30} {
		for range 20 {
			got := tailnet.Pause(failures)
			low, high := max(time.Second, base*time.Second*3/4-1), base*time.Second
			if got < low || got > high {
				t.Errorf("pause(%d) = %v, want %v to %v", failures, got, low, high)
			}
		}
	}
}

func eventually(t *testing.T, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	late := time.After(20 * time.Second)
	for !is() {
		select {
		case <-ticker.C:
		case <-late:
			t.Fatal("it never came to that")
		}
	}
}
