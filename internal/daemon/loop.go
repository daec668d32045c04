package daemon

import (
	"context"
	"os"
	"syscall"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/lifecycle"
)

// message is an event for the state machine, and a function that the loop calls before it steps.
// Either may be nil.
type message struct {
	event lifecycle.Event
	first func()
}

// send queues an event for the loop. It returns when the loop has ended, too.
func (d *daemon) send(e lifecycle.Event, first func()) {
	select {
	case d.messages <- message{e, first}:
	case <-d.ctx.Done():
	}
}

// begin runs work that the loop must not wait for. The work returns when its context ends.
func (d *daemon) begin(work func(context.Context)) {
	d.work.Go(func() { work(d.ctx) })
}

// after sends an event once the time has passed.
func (d *daemon) after(wait time.Duration, e lifecycle.Event, first func()) {
	d.begin(func(ctx context.Context) {
		select {
		case <-time.After(wait):
			d.send(e, first)
		case <-ctx.Done():
		}
	})
}

// loop handles messages, signals and the watchdog's ticks until the state machine exits.
func (d *daemon) loop() (exitCode int) {
	d.begin(func(context.Context) { d.loadFirst() })
	for {
		select {
		case m := <-d.messages:
			if m.first != nil {
				m.first()
			}
			if m.event != nil {
				d.later(m.event)
			}
		case s := <-d.signals:
			d.log.Info("signal", "signal", s.String())
			d.later(d.eventOf(s))
		case <-d.watchdog.tick:
			d.pingWatchdog()
		}
		for len(d.pending) > 0 {
			e := d.pending[0]
			d.pending = d.pending[1:]
			if code, exit := d.step(e); exit {
				return code
			}
		}
		d.refuseCommands()
	}
}

func (d *daemon) eventOf(s os.Signal) lifecycle.Event {
	switch s {
	case syscall.SIGHUP:
		d.reload.waiting = append(d.reload.waiting, reloadRequest{"signal " + s.String(), make(chan admin.ReloadOutcome, 1)})
		return lifecycle.ReloadRequested{}
	case syscall.SIGUSR2:
		return lifecycle.UpgradeRequested{}
	}
	if d.view().state.Phase == lifecycle.Draining {
		return d.unlessIdle(lifecycle.ShutdownSignal{}) // timeout(1) sends two signals
	}
	return lifecycle.ShutdownSignal{}
}

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

// later queues e for the loop's next step. An action that ends at once uses it, because send would
// wait for the loop itself.
func (d *daemon) later(e lifecycle.Event) { d.pending = append(d.pending, e) }

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
