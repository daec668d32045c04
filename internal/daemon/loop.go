package daemon

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/lifecycle"
)

// message is an event for the state machine, and what the loop does before it steps.
type message struct {
	event lifecycle.Event // nil: none
	first func()          // nil: nothing
}

// mailbox is the way to the loop, and the work that is done beside it.
type mailbox struct {
	messages chan message
	done     chan struct{}      // closed when the loop has ended
	ctx      context.Context    // of all work
	cancel   context.CancelFunc // of ctx
	work     sync.WaitGroup
}

func newMailbox() *mailbox {
	m := &mailbox{messages: make(chan message, 64), done: make(chan struct{})}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// send brings an event to the loop, and reports whether that was there to take it.
func (m *mailbox) send(e lifecycle.Event, first func()) bool {
	select {
	case m.messages <- message{e, first}:
		return true
	case <-m.done:
		return false
	}
}

// begin does work that the loop must not wait for. It has to heed the context.
func (m *mailbox) begin(work func(context.Context)) {
	m.work.Go(func() { work(m.ctx) })
}

// after sends e when the time has come.
func (m *mailbox) after(wait time.Duration, e lifecycle.Event) {
	m.begin(func(ctx context.Context) {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
			m.send(e, nil)
		case <-ctx.Done():
		}
	})
}

// loop lives until an action is to exit.
func (d *daemon) loop() (exitCode int) {
	defer d.watchdog.stop()
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
			if s == syscall.SIGHUP {
				d.reload.askers = append(d.reload.askers, "signal "+s.String())
			}
			d.later(eventOf(s))
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
		d.refuseCommands()
	}
}

func eventOf(s os.Signal) lifecycle.Event {
	switch s {
	case syscall.SIGHUP:
		return lifecycle.ReloadRequested{}
	case syscall.SIGUSR2:
		return lifecycle.UpgradeRequested{}
	default:
		return lifecycle.ShutdownSignal{}
	}
}

// step moves the state machine and does what it asks for.
func (d *daemon) step(e lifecycle.Event) (exitCode int, exit bool) {
	before := d.view().state
	next, actions := lifecycle.Step(before, e)
	d.publish(func(v *view) { v.state = next })
	if next.Phase != before.Phase {
		d.log.Debug("state", "state", next.Phase.String(), "before", before.Phase.String())
	}
	for _, a := range actions {
		if out, ok := a.(lifecycle.Exit); ok {
			if out.Code == lifecycle.ExitDrainCut && d.nothingCut {
				d.publish(func(v *view) { v.state.ExitCode = lifecycle.ExitOK })
			}
			return d.view().state.ExitCode, true
		}
		d.do(a)
	}
	return 0, false
}

// later has the loop step with e after the actions under way.
func (d *daemon) later(e lifecycle.Event) { d.pending = append(d.pending, e) }

// refuseCommands responds to clients that wait for what will not happen.
func (d *daemon) refuseCommands() {
	s := d.view().state
	if s.Phase > lifecycle.Running {
		d.reload.respondAll(admin.ReloadOutcome{Error: "this process is " + s.Phase.String() + " and takes no reload"})
	}
	if !s.IsUpgrading() && !s.UpgradePending {
		d.upgrade.respond(admin.UpgradeOutcome{Error: "this process is " + s.Phase.String() + " and cannot be upgraded"})
	}
}
