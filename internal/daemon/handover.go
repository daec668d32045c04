package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/systemd"
)

const (
	// successorTimeout is how long a new process may take until it serves.
	successorTimeout = 30 * time.Second
	// successorTrial is how long it then serves beside this one before anything is given
	// up: a process that crashes soon takes nothing with it.
	successorTrial = 2 * time.Second
	// successorPatience is how long an unwanted one may take to leave: as long as its drain.
	successorPatience = 8 * time.Second
	// askTimeout bounds a question to systemd, and the wait until it follows a successor.
	askTimeout = 5 * time.Second
	// askInterval is the pause between two questions.
	askInterval = 50 * time.Millisecond
	// handoverSettle is how long kept connections are waited for, to be told with their
	// next response that it is the last.
	handoverSettle = 10 * time.Second
)

// errNotSupervised is why a process that no unit runs is not upgraded: nothing would follow
// the new one, or restart it.
var errNotSupervised = errors.New("systemd does not run this process with Type=notify; stop it and start the installed program instead")

// upgrade is what the loop keeps of the process before this one and of the one after it.
type upgrade struct {
	predecessor *systemd.Predecessor // that started this process to take over; nil: nobody did
	reported    bool                 // to the predecessor, that this process serves
	successor   *systemd.Successor   // that serves, but is not in charge yet
	waiters     []chan<- admin.UpgradeOutcome
	cancel      context.CancelFunc // while a successor is brought up
	drain       context.CancelFunc // of the drain after a hand-over; nil: none
}

// respond responds to the clients that wait for the upgrade.
func (u *upgrade) respond(o admin.UpgradeOutcome) {
	for _, w := range u.waiters {
		w <- o
	}
	u.waiters = nil
}

// stopDrain ends the wait for what was in flight at the hand-over.
func (u *upgrade) stopDrain() {
	if u.drain != nil {
		u.drain()
	}
}

// startSuccessor begins to bring up a process of the installed program. Until that serves,
// nothing changes here.
func (d *daemon) startSuccessor() {
	d.publish(func(v *view) { v.upgrade = "" })
	serving := d.view().serving
	listeners := make([]systemd.Listener, 0, len(serving))
	for _, l := range serving {
		listeners = append(listeners, systemd.Listener(l))
	}
	ctx, cancel := context.WithCancel(d.ctx)
	d.upgrade.cancel = cancel
	d.work.Go(func() {
		s, err := d.bringUp(ctx, listeners)
		switch {
		case err == nil:
			if !d.send(lifecycle.SuccessorReady{}, func() { d.recordSuccessor(s) }) {
				s.Stop()
			}
		case ctx.Err() == nil:
			d.send(lifecycle.SuccessorFailed{}, func() { d.recordUpgradeError(err) })
		}
	})
}

// bringUp gives a successor that serves and that systemd would follow, or none. It starts
// what a restart of the unit would start.
func (d *daemon) bringUp(ctx context.Context, listeners []systemd.Listener) (*systemd.Successor, error) {
	unit, err := d.supervisingUnit(ctx)
	if err != nil {
		return nil, err
	}
	d.log.Info("starting the installed program to take over", "program", unit.Program)
	s, err := systemd.StartSuccessor(systemd.Program{
		Path: unit.Program, Args: os.Args, Env: d.successorEnvironment(), Listeners: listeners,
	})
	if err != nil {
		return nil, err
	}
	if err := tryOut(ctx, s); err != nil {
		s.End(successorPatience)
		return nil, err
	}
	return s, nil
}

// supervisingUnit is the unit of this process, if systemd would follow a hand-over.
func (d *daemon) supervisingUnit(ctx context.Context) (systemd.Service, error) {
	if !d.notifier.Enabled() {
		return systemd.Service{}, errNotSupervised
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	unit, err := systemd.ShowService(ctx)
	return unit, cmp.Or(err, unit.CheckHandover(os.Getpid(), os.Args))
}

// tryOut waits until s has proved that it serves.
func tryOut(ctx context.Context, s *systemd.Successor) error {
	ready, cancel := context.WithTimeoutCause(ctx, successorTimeout,
		fmt.Errorf("it did not say within %v that it serves", successorTimeout))
	defer cancel()
	if err := s.AwaitReady(ready); err != nil {
		return err
	}
	return s.Try(ctx, successorTrial)
}

// successorEnvironment is that of this process, with what systemd told it as it would tell
// the other.
func (d *daemon) successorEnvironment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WATCHDOG_PID=") })
	return append(env, d.notifier.Environment()...)
}

// recordSuccessor keeps one that serves, unless a stop came first.
func (d *daemon) recordSuccessor(s *systemd.Successor) {
	d.upgrade.successor = s
	if !d.view().state.IsUpgrading() {
		d.stopSuccessor()
	}
}

// stopSuccessor ends one that is not needed, without waiting for it.
func (d *daemon) stopSuccessor() {
	d.upgrade.cancel()
	if d.upgrade.successor != nil {
		d.upgrade.successor.Stop()
	}
}

// notifyMainPID announces the successor. This process is silent from now on: systemd warns
// about messages of a process that is not the main one.
func (d *daemon) notifyMainPID() {
	s := d.upgrade.successor
	d.notify(d.notifier.MainPID(s.PID()))
	d.notifier.Mute(true)
	d.begin(func(ctx context.Context) {
		if err := awaitMainPID(ctx, s.PID()); err != nil {
			s.End(successorPatience)
			d.send(lifecycle.SuccessorFailed{}, func() { d.recordUpgradeError(err) })
			return
		}
		d.send(lifecycle.SuccessorFollowed{}, nil)
	})
}

// awaitMainPID returns nil when systemd says that the process is the main one of the service.
// It asks because a message that systemd ignores brings no error: the unit may have been
// masked a moment ago.
func awaitMainPID(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	why := errors.New("systemd did not respond")
	for {
		unit, err := systemd.ShowService(ctx)
		switch {
		case ctx.Err() != nil:
			return why
		case err != nil:
			why = err
		case unit.MainPID == pid:
			return nil
		default:
			why = fmt.Errorf("systemd still takes process %d for the main one of %s, not the new process", unit.MainPID, unit.Name)
		}
		select {
		case <-time.After(askInterval):
		case <-ctx.Done():
			return why
		}
	}
}

// handOver puts the successor in charge.
func (d *daemon) handOver() {
	// For a successor that hangs, systemd's watchdog aborts every process of the unit; those
	// that are left get SIGTERM then, and drain.
	signal.Ignore(syscall.SIGABRT)
	s := d.upgrade.successor
	d.upgrade.successor = nil
	d.leaveCharge()
	if err := s.Release(d.options.Version); err != nil {
		d.log.Warn("the new process may have failed", "error", err)
	}
	d.log.Info("handed over; finishing what is in flight", "pid", s.PID(), "in_flight", d.view().proxy.Stats().InFlight)
	d.upgrade.respond(admin.UpgradeOutcome{PID: s.PID()})
}

// beginHandover lets what is in flight finish.
func (d *daemon) beginHandover() {
	v := d.view()
	timeout := v.config.Proxy.HandoverTimeout
	ctx, stop := context.WithCancel(d.ctx)
	d.upgrade.drain = stop
	d.announceHandover()
	d.work.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		err := v.server.Drain(ctx, handoverSettle)
		switch {
		case err == nil:
			d.send(lifecycle.Drained{}, nil)
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			d.send(lifecycle.HandoverTimeout{}, nil)
		}
	})
}

// recordUpgradeError keeps and logs why there is no successor, unless a stop came first.
func (d *daemon) recordUpgradeError(err error) {
	if !d.view().state.IsUpgrading() {
		return
	}
	d.notifier.Mute(false)
	d.upgrade.successor = nil
	d.log.Error("the upgrade failed; this process keeps running", "error", err)
	text := err.Error()
	d.publish(func(v *view) { v.upgrade = text })
	d.upgrade.respond(admin.UpgradeOutcome{Error: text})
}

// reportToPredecessor tells the process that started this one that it serves, and waits for
// the hand-over.
func (d *daemon) reportToPredecessor() {
	p := d.upgrade.predecessor
	if p == nil || d.upgrade.reported {
		return
	}
	d.upgrade.reported = true
	d.begin(func(ctx context.Context) {
		defer p.Close() //nolint:errcheck // all was said
		defer context.AfterFunc(ctx, func() { _ = p.Close() })()
		before := p.AwaitRelease()
		if ctx.Err() == nil {
			d.send(nil, func() { d.succeed(before) })
		}
	})
}

// succeed puts this process in charge, in the place of one of a version that is empty if
// nobody told it.
func (d *daemon) succeed(before string) {
	d.log.Info(fmt.Sprintf("upgraded: %s → %s", cmp.Or(before, "unknown"), d.options.Version))
	d.notifier.Mute(false)
	d.notify(d.notifier.Ready(d.statusLine()))
	if d.watchdog.ticker != nil {
		// The last sign of life may be half an interval old, and the first of this
		// process be due after as long.
		d.notify(d.notifier.Watchdog())
	}
	d.takeCharge()
}
