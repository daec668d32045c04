package tailnet

import (
	"context"
	"math/rand/v2"
	"reflect"
	"sync"
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
}

// Follow reports the status at once and then each change of it, and returns when ctx ends. It calls
// report from its own goroutine: a slow report delays the next one, but not the reading of the bus.
func (c *Client) Follow(ctx context.Context, report func(Report)) {
	f := &follower{
		client: c, report: report, bus: bus{hints: make(chan struct{}, 1)},
		health: debouncer{delay: c.cfg.WarningDelay}, command: patientCommand{client: c},
	}
	var watch sync.WaitGroup
	watch.Go(func() { f.bus.keepOpen(ctx, c) })
	defer watch.Wait()
	for ctx.Err() == nil {
		f.read(ctx)
		f.wait(ctx)
	}
}

// follower is the state of one Follow. Only its goroutine uses it, and that of the bus uses bus.
type follower struct {
	client *Client
	report func(Report)
	last   *Report // nil before the first
	health debouncer

	readAt  time.Time // when the last reading ended
	command patientCommand
	bus     bus
}

// read reads the status once and reports it if it has changed.
func (f *follower) read(ctx context.Context) {
	status, err := f.client.connect(ctx, f.command.ask)
	f.readAt = time.Now()
	if ctx.Err() != nil {
		return // Follow ends, and tailscaled may be well
	}
	status.Warnings = f.health.lasting(status.Warnings, f.readAt)
	news := Report{Status: status, Err: err}
	if f.last == nil || !sameNews(*f.last, news) {
		f.last = &news
		f.report(news)
	}
}

func sameNews(a, b Report) bool {
	same := (a.Err == nil) == (b.Err == nil) && (a.Err == nil || a.Err.Error() == b.Err.Error())
	return same && reflect.DeepEqual(a.Status, b.Status)
}

// wait returns when the next reading is due.
func (f *follower) wait(ctx context.Context) {
	timer := time.NewTimer(f.due())
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-f.bus.hints:
		sleep(ctx, f.client.cfg.SettleInterval-time.Since(f.readAt))
	}
}

// due returns when the next reading is due without a notification: soon, unless tailscaled responds
// and the bus is open.
func (f *follower) due() time.Duration {
	if f.bus.live.Load() && f.last != nil && f.last.Status.Backend != "" {
		return f.client.cfg.RereadInterval
	}
	return f.client.cfg.BackoffMin
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

// bus is the watch of the IPN bus. Each notification is only a hint to read the status. tailscaled
// cuts off slow watchers, so the watch never blocks on the reader of hints.
type bus struct {
	hints chan struct{} // of size 1; one stands for all that were not taken
	live  atomic.Bool   // tailscaled has granted the watch
}

// keepOpen opens the bus again whenever it ends: soon if it had been granted or nobody listens on
// the socket, and at growing intervals if it was refused. The first notification of each watch
// causes a reading, so no change in between is missed.
func (b *bus) keepOpen(ctx context.Context, c *Client) {
	for failures := 1; ctx.Err() == nil; failures++ {
		opened := time.Now()
		err := b.watch(ctx, c.local)
		if b.live.Swap(false) || dialFailure(err) != nil {
			failures = 1
		}
		b.hint() // tailscaled may have ended
		sleep(ctx, c.pause(failures)-time.Since(opened))
	}
}

// watch reads the bus to its end.
func (b *bus) watch(ctx context.Context, lc *local.Client) error {
	watcher, err := lc.WatchIPNBus(ctx, busMask)
	if err != nil {
		return err
	}
	defer watcher.Close()
	for {
		if _, err := watcher.Next(); err != nil {
			return err
		}
		b.live.Store(true)
		b.hint()
	}
}

func (b *bus) hint() {
	select {
	case b.hints <- struct{}{}:
	default:
	}
}

// sleep waits for d, or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
