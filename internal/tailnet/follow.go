package tailnet

import (
	"context"
	"math/rand/v2"
	"net"
	"reflect"
	"time"

	"tailscale.com/ipn"
)

// Report is a change that Follow reports.
type Report struct {
	// Status is tailscaled's status, empty if it could not be read. It has only warnings that have
	// lasted Config.WarningDelay.
	Status Status

	// Err is the error that Connect would return: nil if and only if the backend is in state
	// Running, else an *Error.
	Err error
}

// follower is the state of one Follow.
type follower struct {
	*Client
	report func(Report)
	last   Report // zero before the first, which always has an error or a state
	health debouncer
}

// Follow reports the status at once and then each change of it, and returns when ctx ends. A watch
// of the IPN bus lasts RereadInterval at most and begins with a notification; each notification is
// a hint to read the status. Where the bus is refused, Follow polls, at growing intervals.
func (c *Client) Follow(ctx context.Context, report func(Report)) {
	f := &follower{Client: c, report: report, health: debouncer{delay: c.cfg.WarningDelay}}
	for failures := 1; ctx.Err() == nil; failures++ {
		opened := time.Now()
		granted, err := f.watch(ctx)
		if granted {
			failures = 0
			sleep(ctx, c.cfg.BackoffMin-time.Since(opened)) // a bus that ends at once
			continue
		}
		f.read(ctx)
		f.pause(ctx, c.backoff(failures), dialFailure(err) != nil)
	}
}

// busMask asks for what we need and every version grants. Newer ones refuse NotifyInitialNetMap,
// and 1.54 to 1.90 let only root watch without NotifyNoPrivateKeys.
const busMask = ipn.NotifyInitialState | ipn.NotifyInitialPrefs | ipn.NotifyInitialHealthState | ipn.NotifyNoPrivateKeys

// watch reads the status at each notification, and reports whether the bus was granted.
func (f *follower) watch(ctx context.Context) (granted bool, err error) {
	bus, cancel := context.WithTimeout(ctx, f.cfg.RereadInterval)
	defer cancel()
	watcher, err := f.local.WatchIPNBus(bus, busMask)
	if err != nil {
		return false, err
	}
	defer watcher.Close()
	for {
		if _, err := watcher.Next(); err != nil {
			return granted, err
		}
		granted = true
		f.read(ctx)
		sleep(bus, f.cfg.SettleInterval)
	}
}

func (f *follower) read(ctx context.Context) {
	status, err := f.Connect(ctx)
	if ctx.Err() != nil {
		return // Follow ends, and tailscaled may be well
	}
	status.Warnings = f.health.lasting(status.Warnings, time.Now())
	news := Report{Status: status, Err: err}
	if !sameNews(f.last, news) {
		f.last = news
		f.report(news)
	}
}

func sameNews(a, b Report) bool {
	same := (a.Err == nil) == (b.Err == nil) && (a.Err == nil || a.Err.Error() == b.Err.Error())
	return same && reflect.DeepEqual(a.Status, b.Status)
}

// pause waits before the next attempt: up to RereadInterval if there is a tailscaled, which refuses
// the bus, hangs, or is reached by the command only. While nobody listens on the socket, it dials
// every BackoffMin, which starts no process.
func (f *follower) pause(ctx context.Context, d time.Duration, dialFailed bool) {
	if !dialFailed || f.last.Status.Backend != "" {
		d = min(d, f.cfg.RereadInterval)
	}
	for end := time.Now().Add(d); ctx.Err() == nil && time.Now().Before(end); {
		sleep(ctx, min(time.Until(end), f.cfg.BackoffMin))
		if dialFailed && f.listens() {
			return
		}
	}
}

func (c *Client) listens() bool {
	conn, err := net.Dial("unix", c.socket)
	if err == nil {
		_ = conn.Close() // nothing was written to it
	}
	return err == nil
}

// backoff returns the pause after that many failures in a row, at least one.
func (c *Client) backoff(failures int) time.Duration {
	const doublings = 10 // no pause grows further, and none overflows
	d := min(c.cfg.BackoffMin<<min(failures-1, doublings), c.cfg.BackoffMax)
	return max(c.cfg.BackoffMin, d-rand.N(d/4+1))
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
