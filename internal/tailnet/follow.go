package tailnet

import (
	"context"
	"math/rand/v2"
	"reflect"
	"time"
)

// Report is one piece of news from Follow.
type Report struct {
	// Status is what tailscaled said, empty when it could not be asked. A warning is in it only
	// once it has lasted Config.WarningDelay.
	Status Status

	// Err is what Connect would have returned: nil if and only if the backend is Running, else an
	// *Error.
	Err error

	// KeyNotice is 14 or 3 days while the node key's remaining life is within them; 0: there is
	// more time, or none.
	KeyNotice time.Duration
}

// Follow reports the state at once and then every change of it, until ctx ends; only then it
// returns. The calls to report are made one after the other, from Follow's own goroutine: one that
// takes long delays the next, but not the reading of the bus.
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

// follower is the state of one Follow. Only its own goroutine touches it.
type follower struct {
	client *Client
	report func(Report)
	last   *Report // nil before the first
	health debouncer

	readAt   time.Time // when the last reading ended
	failures int       // readings that failed in a row
	command  patientCommand

	bus         *bus      // nil when none is open
	busFailures int       // buses in a row that were refused
	busAfter    time.Time // when the next may be opened
}

// read reads the status once and reports it if it is news.
func (f *follower) read(ctx context.Context) {
	status, err := f.client.connect(ctx, f.command.ask)
	f.readAt = time.Now()
	if ctx.Err() != nil {
		return // our end, not tailscaled's
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

// watch opens the bus where there is none, once tailscaled responds on its socket. The first
// notification asks for a reading, so nothing that happens between a reading and the bus is missed.
func (f *follower) watch(ctx context.Context) {
	if f.bus == nil && f.onSocket() && !time.Now().Before(f.busAfter) {
		f.bus = openBus(ctx, f.client.local)
	}
}

// onSocket reports whether the last reading was tailscaled's response on its socket.
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

// due is how long the last reading may be trusted while there is no notification. After a failure
// it is short where nobody is bothered, so that a tailscaled that starts is seen at once.
func (f *follower) due() time.Duration {
	cfg := f.client.cfg
	switch {
	case f.failures > 0 && (dialFailure(f.last.Err) != nil || isTimeout(f.last.Err)):
		return cfg.BackoffMin
	case f.failures > 0:
		return f.client.pause(f.failures)
	case f.bus.live():
		return cfg.RereadInterval
	}
	d := min(cfg.PollInterval, cfg.RereadInterval)
	if f.bus == nil && f.onSocket() {
		d = min(d, time.Until(f.busAfter))
	}
	return d
}

// busEnded makes room for the next bus. One that was granted ended because tailscaled did, or cut
// us off, and is opened again soon; one that was refused ever more rarely.
func (f *follower) busEnded() {
	if f.bus.live() {
		f.busFailures = 0
	}
	f.busFailures++
	f.busAfter = f.bus.opened.Add(f.client.pause(f.busFailures))
	f.bus.close()
	f.bus = nil
}

// pause is the back-off after that many failures in a row, of which there is one at least.
func (c *Client) pause(failures int) time.Duration {
	const doublings = 10 // no pause grows further, and none overflows
	d := min(c.cfg.BackoffMin<<min(failures-1, doublings), c.cfg.BackoffMax)
	return max(c.cfg.BackoffMin, d-rand.N(d/4+1))
}
