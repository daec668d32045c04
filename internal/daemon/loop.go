package daemon

import (
	"context"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/handover"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/tailnet"
)

// message is an event with what belongs to it.
type message struct {
	event      lifecycle.Event
	tailnet    *tailnet.Report             // of tailnet events
	loaded     *loaded                     // of a load that succeeded
	err        error                       // of a load that failed
	successor  *handover.Successor         // that serves
	upgradeErr error                       // why there is no successor
	upgrader   chan<- admin.UpgradeOutcome // who wants to know how the upgrade ended
	released   bool                        // by the process before this one, without an event
	before     string                      // the version of that one
	waiter     chan<- admin.ReloadOutcome  // who wants to know how the reload ended
	probe      *probeResult                // of the watchdog, without an event
}

const stoppingText = "the daemon is stopping"

// send brings m to the loop, unless that has ended.
func (d *daemon) send(m message) {
	select {
	case d.messages <- m:
	case <-d.done:
		if m.waiter != nil {
			m.waiter <- admin.ReloadOutcome{Error: stoppingText}
		}
		if m.upgrader != nil {
			m.upgrader <- admin.UpgradeOutcome{Error: stoppingText}
		}
		if m.successor != nil {
			m.successor.Stop()
		}
	}
}

// begin does work that the loop must not wait for. It has to heed the context.
func (d *daemon) begin(work func(context.Context)) {
	d.work.Go(func() { work(d.ctx) })
}

// loop lives until an action is to exit.
func (d *daemon) loop() (exitCode int) {
	stopSignals := d.watchSignals()
	defer stopSignals()
	defer d.watchdog.stop()
	d.begin(func(context.Context) { d.sendInitialConfig() })
	for {
		select {
		case m := <-d.messages:
			d.receive(m)
		case <-d.watchdog.ticks():
			d.pingWatchdog()
		}
		for len(d.pending) > 0 {
			e := d.pending[0]
			d.pending = d.pending[1:]
			if code, exit := d.step(e); exit {
				return code
			}
		}
		d.refuse()
	}
}

// refuse tells those who asked for what will not happen.
func (d *daemon) refuse() {
	if d.state.Phase > lifecycle.Running {
		d.answerReloads(admin.ReloadOutcome{Error: "this process is " + d.state.Phase.String() + " and takes no reload"})
	}
	if !d.state.IsUpgrading() && !d.state.UpgradePending {
		d.answerUpgrades(admin.UpgradeOutcome{Error: "this process is " + d.state.Phase.String() + " and cannot be upgraded"})
	}
}

// receive keeps what came with an event, then makes the event pending.
func (d *daemon) receive(m message) {
	switch {
	case m.probe != nil:
		d.watchdog.note(*m.probe)
		return
	case m.released:
		d.succeed(m.before)
		return
	}
	if m.successor != nil {
		d.successor = m.successor
		if !d.state.IsUpgrading() { // a stop came first
			d.stopSuccessor()
		}
	}
	if m.tailnet != nil {
		d.recordTailnet(*m.tailnet)
	}
	if m.loaded != nil || m.err != nil {
		d.loaded, d.loadErr = m.loaded, m.err
	}
	if m.event == (lifecycle.SuccessorFailed{}) && d.state.IsUpgrading() {
		d.noteUpgrade(m.upgradeErr)
	}
	if m.waiter != nil {
		d.reloadWaiters = append(d.reloadWaiters, m.waiter)
	}
	if m.upgrader != nil {
		d.upgradeWaiters = append(d.upgradeWaiters, m.upgrader)
	}
	if _, first := m.event.(lifecycle.ConfigLoaded); first {
		d.install()
	}
	d.pending = append(d.pending, m.event)
}

// step moves the state machine and does what it asks for.
func (d *daemon) step(e lifecycle.Event) (exitCode int, exit bool) {
	before := d.state
	next, actions := lifecycle.Step(d.state, e)
	d.state = next
	d.view.setState(next)
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

// later has the loop step with e after the actions under way.
func (d *daemon) later(e lifecycle.Event) { d.pending = append(d.pending, e) }

// after sends e when the time has come.
func (d *daemon) after(wait time.Duration, e lifecycle.Event) {
	d.begin(func(ctx context.Context) {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
			d.send(message{event: e})
		case <-ctx.Done():
		}
	})
}
