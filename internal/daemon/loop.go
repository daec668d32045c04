package daemon

import (
	"context"
	"os"
	"syscall"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/lifecycle"
)

// inLoop has the loop call f, and does not wait for the call. It is the only way from another
// goroutine to the loop: f records what has happened where the actions find it, and raises the
// event that the state machine decides about, if there is one.
func (d *daemon) inLoop(f func()) {
	select {
	case d.calls <- f:
	case <-d.ctx.Done():
	}
}

// send raises an event from another goroutine.
func (d *daemon) send(e lifecycle.Event) { d.inLoop(func() { d.raise(e) }) }

// raise queues an event for the state machine. Only the loop and what it calls use it.
func (d *daemon) raise(e lifecycle.Event) { d.events = append(d.events, e) }

// inBackground runs work that the loop must not wait for. The work returns when its context ends.
func (d *daemon) inBackground(work func(context.Context)) { d.work.Go(func() { work(d.ctx) }) }

// after has the loop call f once the time has passed.
func (d *daemon) after(wait time.Duration, f func()) {
	d.inBackground(func(ctx context.Context) {
		select {
		case <-time.After(wait):
			d.inLoop(f)
		case <-ctx.Done():
		}
	})
}

// loop handles calls, signals and the watchdog's ticks, and steps the state machine with the events
// that they raise, until it exits.
func (d *daemon) loop() (exitCode int) {
	d.inBackground(func(context.Context) { d.loadFirst() })
	for {
		select {
		case f := <-d.calls:
			f()
		case s := <-d.signals:
			d.handleSignal(s)
		case <-d.watchdog.tick:
			d.pingWatchdog()
		}
		for len(d.events) > 0 {
			e := d.events[0]
			d.events = d.events[1:]
			if code, exit := d.step(e); exit {
				return code
			}
		}
		d.refuseCommands()
	}
}

func (d *daemon) handleSignal(s os.Signal) {
	d.log.Info("signal", "signal", s.String())
	switch {
	case s == syscall.SIGHUP:
		d.reload.waiting = append(d.reload.waiting, reloadRequest{"signal " + s.String(), make(chan admin.ReloadOutcome, 1)})
		d.raise(lifecycle.ReloadRequested{})
	case s == syscall.SIGUSR2 && d.role == candidate: // an upgrade is under way, and the signal was for its predecessor
	case s == syscall.SIGUSR2:
		d.raise(lifecycle.UpgradeRequested{})
	case d.view().state.Phase == lifecycle.Draining:
		d.raise(d.unlessIdle(lifecycle.ShutdownSignal{})) // timeout(1) sends two signals
	default:
		d.raise(lifecycle.ShutdownSignal{})
	}
}

// step passes an event to the state machine, and performs the actions that it returns.
func (d *daemon) step(e lifecycle.Event) (exitCode int, exit bool) {
	before := d.view().state
	next, actions := lifecycle.Step(before, e)
	d.publish(func(v *view) { v.state = next })
	if next.Phase != before.Phase {
		d.log.Debug("state", "state", next.Phase.String(), "before", before.Phase.String())
	}
	for _, a := range actions {
		if out, ok := a.(lifecycle.Exit); ok {
			return out.Code, true
		}
		d.do(a)
	}
	return 0, false
}

// refuseCommands responds to clients that wait for a reload or an upgrade that will not happen.
func (d *daemon) refuseCommands() {
	s := d.view().state
	if s.Phase > lifecycle.Running {
		d.reload.current, d.reload.waiting = append(d.reload.current, d.reload.waiting...), nil
		d.reload.respond(admin.ReloadOutcome{Error: "this process is " + s.Phase.String() + " and cannot reload"})
	}
	if !s.IsUpgrading() && !s.UpgradePending {
		d.upgrade.respond(admin.UpgradeOutcome{Error: "this process is " + s.Phase.String() + " and cannot be upgraded"})
	}
}
