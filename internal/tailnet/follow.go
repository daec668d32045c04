package tailnet

import (
	"context"
	"math/rand/v2"
	"reflect"
	"sync/atomic"
	"time"

	"tailscale.com/client/local"
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

	// KeyNotice is 14 or 3 days if the node key expires within that time; 0 if it expires later, or
	// has expired.
	KeyNotice time.Duration
}

// Follow reports the status at once and then each change of it, and returns when ctx ends. It calls
// report from its own goroutine: a slow report delays the next one, but not the reading of the bus.
func (c *Client) Follow(ctx context.Context, report func(Report)) {
	f := &follower{
		client: c, report: report,
		health: debouncer{delay: c.cfg.WarningDelay}, command: patientCommand{client: c},
	}
	defer func() { f.bus.close() }()
	for ctx.Err() == nil {
		f.read(ctx)
		f.watch(ctx)
		f.wait(ctx)
	}
}

// follower is the state of one Follow. Only Follow's goroutine uses it.
type follower struct {
	client *Client
	report func(Report)
	last   *Report // nil before the first
	health debouncer

	readAt   time.Time // when the last reading ended
	failures int       // readings that failed in a row
	command  patientCommand

	bus         *bus      // nil when none is open
	busFailures int       // refused buses in a row
	busAfter    time.Time // when the next one may be opened
}

// read reads the status once and reports it if it has changed.
func (f *follower) read(ctx context.Context) {
	status, err := f.client.connect(ctx, f.command.ask)
	f.readAt = time.Now()
	if ctx.Err() != nil {
		return // Follow ends, and tailscaled may be well
	}
	f.failures++
	if status.Backend != "" {
		f.failures = 0
	}
	status.Warnings = f.health.lasting(status.Warnings, f.readAt)
	news := Report{Status: status, Err: err, KeyNotice: status.keyNotice(f.readAt)}
	if f.last == nil || !sameNews(*f.last, news) {
		f.last = &news
		f.report(news)
	}
}

func sameNews(a, b Report) bool {
	same := (a.Err == nil) == (b.Err == nil) && (a.Err == nil || a.Err.Error() == b.Err.Error())
	return same && a.KeyNotice == b.KeyNotice && reflect.DeepEqual(a.Status, b.Status)
}

// watch opens a bus if none is open and tailscaled responds on its socket. The first notification
// causes a reading, so no change between a reading and the bus is missed.
func (f *follower) watch(ctx context.Context) {
	if f.bus == nil && f.onSocket() && !time.Now().Before(f.busAfter) {
		f.bus = openBus(ctx, f.client.local)
	}
}

// onSocket reports whether the last reading succeeded over tailscaled's socket.
func (f *follower) onSocket() bool {
	return f.failures == 0 && f.last != nil && !f.last.Status.ByCommand
}

// wait returns when the next reading is due.
func (f *follower) wait(ctx context.Context) {
	timer := time.NewTimer(f.due())
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case _, open := <-f.bus.hinted():
		if !open {
			f.busEnded()
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(f.client.cfg.SettleInterval - time.Since(f.readAt)):
		}
	}
}

// due returns when the next reading is due without a notification. After a failure that costs
// nothing it is soon, so that a tailscaled that starts is noticed at once.
func (f *follower) due() time.Duration {
	cfg := f.client.cfg
	costly := f.failures > 0 && dialFailure(f.last.Err) == nil && !isTimeout(f.last.Err)
	switch {
	case costly:
		return f.client.pause(f.failures)
	case f.failures == 0 && f.bus.live():
		return cfg.RereadInterval
	case f.bus == nil && f.onSocket():
		return min(cfg.BackoffMin, time.Until(f.busAfter))
	}
	return cfg.BackoffMin
}

// busEnded closes the bus and schedules the next one: soon if it had been granted, because
// tailscaled ended or cut us off, and at growing intervals if it was refused.
func (f *follower) busEnded() {
	if f.bus.live() {
		f.busFailures = 0
	}
	f.busFailures++
	f.busAfter = f.bus.opened.Add(f.client.pause(f.busFailures))
	f.bus.close()
	f.bus = nil
}

// pause returns the back-off after that many failures in a row, at least one.
func (c *Client) pause(failures int) time.Duration {
	const doublings = 10 // no pause grows further, and none overflows
	d := min(c.cfg.BackoffMin<<min(failures-1, doublings), c.cfg.BackoffMax)
	return max(c.cfg.BackoffMin, d-rand.N(d/4+1))
}

// busMask asks for what we need and every version grants. Newer ones refuse NotifyInitialNetMap,
// and 1.54 to 1.90 let only root watch without NotifyNoPrivateKeys.
const busMask = ipn.NotifyInitialState | ipn.NotifyInitialPrefs | ipn.NotifyInitialHealthState | ipn.NotifyNoPrivateKeys

// bus is one open watch of the IPN bus. Each notification is only a hint to read the status.
// tailscaled cuts off slow watchers, so the goroutine never blocks on the reader of hints.
type bus struct {
	opened time.Time
	hints  chan struct{} // holds one, which stands for all that were not taken; closed at the end of the watch
	cancel context.CancelFunc
	spoke  atomic.Bool
}

func openBus(ctx context.Context, lc *local.Client) *bus {
	ctx, cancel := context.WithCancel(ctx)
	b := &bus{opened: time.Now(), hints: make(chan struct{}, 1), cancel: cancel}
	go b.drain(ctx, lc)
	return b
}

// drain reads the bus to its end. The reason for the end does not matter: the next reading shows
// the state of tailscaled.
func (b *bus) drain(ctx context.Context, lc *local.Client) {
	defer close(b.hints)
	watcher, err := lc.WatchIPNBus(ctx, busMask)
	if err != nil {
		return
	}
	defer watcher.Close()
	for {
		if _, err := watcher.Next(); err != nil {
			return
		}
		b.spoke.Store(true)
		select {
		case b.hints <- struct{}{}:
		default:
		}
	}
}

// live reports whether tailscaled has granted the watch.
func (b *bus) live() bool { return b != nil && b.spoke.Load() }

// hinted returns the channel of hints, which is closed with the watch; without a watch, nil, which
// blocks.
func (b *bus) hinted() <-chan struct{} {
	if b == nil {
		return nil
	}
	return b.hints
}

// close ends the watch and waits for its goroutine.
func (b *bus) close() {
	if b != nil {
		b.cancel()
		for range b.hints { //nolint:revive // wait for the end
		}
	}
}
