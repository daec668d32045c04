package tailnet

import (
	"context"
	"math/rand/v2"
	"reflect"
	"time"
)

// Report is one piece of news from Follow.
type Report struct {
	// Status is what tailscaled said, empty when it could not be asked.
	// A warning is in it only once it has lasted Config.WarningDelay.
	Status Status

	// Err is what Connect would have returned: nil if and only if
	// Status.Connected, else an *Error.
	Err error

	// KeyNotice is the shortest of KeyNotices that the node key's remaining
	// life is within, zero while it is within none or the key has expired.
	KeyNotice time.Duration
}

// Follow reports the state at once and then every change of it, until ctx
// ends; only then it returns. The calls to report are made one after the
// other, from Follow's own goroutine: one that takes long delays the next, but
// not the reading of the bus.
func (c *Client) Follow(ctx context.Context, report func(Report)) {
	f := newFollower(c, report)
	defer f.wakeups.Stop()
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
	health *debouncer

	readAt   time.Time // when the last reading ended
	failures int       // readings that failed in a row
	command  patientCommand

	wakeups *time.Ticker // when to look whether the machine slept
	sleeps  sleepDetector

	bus         *bus      // nil when none is open
	busFailures int       // buses in a row that were refused
	busAfter    time.Time // when the next may be opened
}

func newFollower(c *Client, report func(Report)) *follower {
	f := &follower{
		client: c, report: report, health: newDebouncer(c.cfg.WarningDelay),
		wakeups: time.NewTicker(wakeInterval), sleeps: newSleepDetector(c.suspended),
	}
	f.command.interval, f.command.pause = c.cfg.CommandInterval, f.pause
	return f
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
	if status.Source == SourceSocket {
		f.command.forget()
	}
	status.Warnings = f.health.lasting(status.Warnings, f.readAt)
	news := Report{Status: status, Err: err, KeyNotice: keyNotice(status, f.readAt)}
	if f.last == nil || !sameNews(*f.last, news) {
		f.last = &news
		f.report(news)
	}
}

func sameNews(a, b Report) bool {
	return reflect.DeepEqual(a.Status, b.Status) && errorText(a.Err) == errorText(b.Err) && a.KeyNotice == b.KeyNotice
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// watch opens the bus where there is none, once tailscaled answers on its
// socket. Its first notification asks for a reading, so nothing that happens
// between a reading and the bus is missed.
func (f *follower) watch(ctx context.Context) {
	answers := f.failures == 0 && f.last != nil && f.last.Status.Source == SourceSocket
	if f.bus == nil && answers && !time.Now().Before(f.busAfter) {
		f.bus = openBus(ctx, f.client.local)
	}
}

// wait returns when the next reading is due.
func (f *follower) wait(ctx context.Context) {
	timer := time.NewTimer(f.due())
	defer timer.Stop()
	for {
		select {
		case <-f.wakeups.C:
			if f.sleeps.slept() {
				return
			}
			continue
		case <-ctx.Done():
		case <-timer.C:
		case <-f.bus.hinted():
			sleep(ctx, f.client.cfg.SettleInterval-time.Since(f.readAt))
		case <-f.bus.done():
			f.busEnded()
		}
		return
	}
}

// due is how long the last reading may be trusted if nobody says otherwise.
func (f *follower) due() time.Duration {
	cfg := f.client.cfg
	if f.failures > 0 {
		return f.failurePause()
	}
	d := cfg.RereadInterval
	if !f.bus.live() {
		d = min(cfg.PollInterval, d)
	}
	if f.bus == nil && f.last != nil && f.last.Status.Source == SourceSocket {
		d = min(d, time.Until(f.busAfter))
	}
	if at := f.health.due(); !at.IsZero() {
		d = min(d, time.Until(at))
	}
	return d
}

// failurePause is short where nobody is bothered, so that a tailscaled that comes is
// seen at once.
func (f *follower) failurePause() time.Duration {
	if dialFailure(f.last.Err) != nil || isTimeout(f.last.Err) {
		return f.client.cfg.BackoffMin
	}
	return f.pause(f.failures)
}

// busEnded makes room for the next bus. One that was granted ended because the daemon
// did, or cut us off, and is opened again soon; one that was refused ever more rarely.
func (f *follower) busEnded() {
	if f.bus.live() {
		f.busFailures = 0
	}
	f.busFailures++
	f.busAfter = f.bus.opened.Add(f.pause(f.busFailures))
	f.bus.close()
	f.bus = nil
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// pause is the back-off after that many failures in a row.
func (f *follower) pause(failures int) time.Duration {
	cfg := f.client.cfg
	d := cfg.BackoffMin
	for i := 1; i < failures && d < cfg.BackoffMax; i++ {
		d *= 2
	}
	d = min(d, cfg.BackoffMax)
	return max(cfg.BackoffMin, d-rand.N(d/4+1))
}
