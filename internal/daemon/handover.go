package daemon

import (
	"cmp"
	"context"
	"encoding/json"
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
	"oauth-proxyd/internal/ratelimit"
	"oauth-proxyd/internal/systemd"
)

const (
	// successorTimeout is how long a new process may take until it is ready.
	successorTimeout = 30 * time.Second
	// successorProbes is how long it then responds to probes before anything is given up.
	successorProbes = 2 * time.Second
	// askTimeout bounds a question to systemd, and the wait until it follows a successor.
	askTimeout = 5 * time.Second
	// askInterval is the pause between two questions.
	askInterval = 50 * time.Millisecond
	// handoverSettle is how long kept connections are waited for, to be told with their next
	// response that it is the last.
	handoverSettle = 10 * time.Second
	// reportInterval is how often a process that has handed over reports what it still does.
	reportInterval = time.Second
)

// errNotSupervised is why a process that no unit runs is not upgraded: nothing would follow the new
// one, or restart it.
var errNotSupervised = errors.New("systemd does not run this process with Type=notify; stop it and start the installed program instead")

// upgrade is what the loop keeps of the process before this one and of the one after it.
type upgrade struct {
	predecessor *systemd.Predecessor // that started this process to take over; nil: systemd did
	alone       chan struct{}        // closed when that has ended; safe for all
	reported    bool                 // to it, that this process is ready
	successor   *systemd.Successor   // that is ready; nil: there is none
	waiters     []chan<- admin.UpgradeOutcome
}

// respond responds to the clients that wait for the upgrade.
func (u *upgrade) respond(o admin.UpgradeOutcome) {
	for _, w := range u.waiters {
		w <- o
	}
	u.waiters = nil
}

// startSuccessor begins to bring up a process of the installed program. Until systemd follows that,
// nothing changes here. If this process ends first, the other one sees it and exits.
func (d *daemon) startSuccessor() {
	d.publish(func(v *view) { v.upgrade = "" })
	listeners := d.view().serving
	d.begin(func(ctx context.Context) {
		s, err := d.bringUp(ctx, listeners)
		if err != nil {
			d.sendUpgradeError(err)
			return
		}
		d.send(lifecycle.SuccessorReady{}, func() { d.upgrade.successor = s })
	})
}

func (d *daemon) sendUpgradeError(err error) {
	d.send(lifecycle.SuccessorFailed{}, func() { d.recordUpgradeError(err) })
}

// bringUp returns a successor that is ready and that systemd would follow, or an error. It runs the
// program that a restart of the unit would run.
func (d *daemon) bringUp(ctx context.Context, listeners []systemd.Listener) (*systemd.Successor, error) {
	unit, err := d.supervisingUnit(ctx)
	if err != nil {
		return nil, err
	}
	d.log.Info("starting the installed program to take over", "program", unit.Program)
	// The successor gets the environment that systemd would give it.
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WATCHDOG_PID=") })
	s, err := systemd.StartSuccessor(systemd.Program{
		Path: unit.Program, Args: os.Args, Env: append(env, d.notifier.Environment()...),
	}, listeners)
	if err != nil {
		return nil, err
	}
	ready, cancel := context.WithTimeoutCause(ctx, successorTimeout,
		fmt.Errorf("it was not ready within %v", successorTimeout))
	defer cancel()
	if err = s.AwaitReady(ready); err == nil {
		err = s.Try(ctx, successorProbes)
	}
	if err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

// supervisingUnit is the unit of this process, if systemd would follow a hand-over.
func (d *daemon) supervisingUnit(ctx context.Context) (systemd.Unit, error) {
	if !d.notifier.Enabled() {
		return systemd.Unit{}, errNotSupervised
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	unit, err := systemd.ShowService(ctx)
	return unit, cmp.Or(err, unit.CheckHandover(os.Getpid(), os.Args))
}

// notifyMainPID announces the successor. This process is silent from now on: systemd warns about
// messages of a process that is not the main one. It accepts connections until the successor
// reports that it accepts them.
func (d *daemon) notifyMainPID() {
	// For a successor that hangs, systemd's watchdog aborts every process of the unit; those that
	// are left get SIGTERM then, and drain.
	signal.Ignore(syscall.SIGABRT)
	s := d.upgrade.successor
	d.notify(d.notifier.MainPID(s.PID()))
	d.notifier.Mute(true)
	d.textfile.leave()
	d.begin(func(ctx context.Context) {
		err := awaitMainPID(ctx, s.PID())
		switch {
		case err == nil:
			err = s.TakeOver(ctx, d.options.Version, d.memory())
		case ctx.Err() == nil:
			s.Kill()
		}
		if err != nil {
			d.sendUpgradeError(err)
			return
		}
		d.send(lifecycle.SuccessorFollowed{}, nil)
	})
}

// awaitMainPID returns nil when systemd says that the process is the main one of the service. It
// asks because a message that systemd ignores brings no error: the unit may have been masked a
// moment ago.
func awaitMainPID(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	why := errors.New("systemd did not respond")
	for {
		unit, err := systemd.ShowService(ctx)
		if err == nil && unit.MainPID == pid {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("systemd still reports process %d as the main process of %s, not the new one", unit.MainPID, unit.Name)
		}
		if ctx.Err() == nil {
			why = err
		}
		select {
		case <-time.After(askInterval):
		case <-ctx.Done():
			return why
		}
	}
}

// recordUpgradeError keeps and logs why there is no successor, unless a stop came first.
func (d *daemon) recordUpgradeError(err error) {
	if !d.view().state.IsUpgrading() {
		return
	}
	signal.Reset(syscall.SIGABRT)
	d.notifier.Mute(false)
	d.textfile.use(d.view().config.Metrics)
	d.upgrade.successor = nil
	d.log.Error("the upgrade failed; this process keeps running", "error", err)
	text := err.Error()
	d.publish(func(v *view) { v.upgrade = text })
	d.upgrade.respond(admin.UpgradeOutcome{Error: text})
}

// handOver leaves the successor in charge.
func (d *daemon) handOver() {
	pid := d.upgrade.successor.PID()
	d.leaveCharge()
	d.log.Info("handed over; finishing open requests", "pid", pid, "in_flight", d.view().proxy.Stats().InFlight)
	d.upgrade.respond(admin.UpgradeOutcome{PID: pid})
}

// beginHandover lets what is in flight finish.
func (d *daemon) beginHandover() {
	v, s, since := d.view(), d.upgrade.successor, time.Now()
	d.begin(func(ctx context.Context) { d.reportTo(ctx, s, since) })
	d.begin(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, v.config.Proxy.HandoverTimeout)
		defer cancel()
		err := d.drain(ctx, v.server, handoverSettle)
		switch {
		case err == nil:
			d.send(lifecycle.Drained{}, nil)
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			d.send(lifecycle.HandoverTimeout{}, nil)
		}
	})
}

// reportTo reports to the successor what this process and those before it still do, to the end of
// this process.
func (d *daemon) reportTo(ctx context.Context, s *systemd.Successor, since time.Time) {
	defer context.AfterFunc(ctx, s.Close)()
	ticker := time.NewTicker(reportInterval)
	defer ticker.Stop()
	for {
		v := d.view()
		self := admin.Predecessor{
			PID: os.Getpid(), Version: d.options.Version, Since: since, InFlight: v.proxy.Stats().InFlight,
		}
		if s.Report(append(slices.Clone(v.predecessors), self)) != nil {
			return // it has ended; systemd ends this process too
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// reportReady tells the process that started this one that it can take over, and hears from it
// until that ends.
func (d *daemon) reportReady() {
	p := d.upgrade.predecessor
	if p == nil || d.upgrade.reported {
		return
	}
	d.upgrade.reported = true
	if err := d.startAdmin(); err != nil {
		d.log.Error("not ready to take over", "error", err)
		p.Fail(err.Error())
		d.later(lifecycle.ShutdownSignal{})
	} else {
		p.Done()
		d.log.Info("ready to take over") // only now: a reader of the log may rely on it
	}
	d.begin(func(ctx context.Context) {
		defer p.Close()
		defer context.AfterFunc(ctx, p.Close)()
		for {
			m, err := p.Next()
			if err != nil {
				break
			}
			d.send(nil, func() { d.hear(m) })
		}
		d.send(nil, d.endPredecessor)
	})
}

// hear responds to the process before this one. A response is a few bytes, which never wait.
func (d *daemon) hear(m systemd.Message) {
	p, phase := d.upgrade.predecessor, d.view().state.Phase
	switch {
	case m.Report != nil:
		var all []admin.Predecessor
		_ = json.Unmarshal(m.Report, &all) // of another version, it may say less
		d.publish(func(v *view) { v.predecessors = all })
		return
	case phase != lifecycle.Running:
		p.Fail("it is " + phase.String())
		return
	case m.TakeOver != "":
		d.remember(m.Memory)
		d.takeOver(m.TakeOver)
	}
	p.Done()
}

// memory is what the new process goes on with.
type memory struct {
	Identity   string           `json:"log_identity"` // the names in it are as this says
	RateLimits ratelimit.Saved `json:"rate_limits"`
}

func (d *daemon) memory() memory {
	v := d.view()
	return memory{v.config.Log.Identity, v.proxy.RateLimits().Save()}
}

// remember goes on with what the process before this one knew. Names are withheld if that one named
// people in another way.
func (d *daemon) remember(text json.RawMessage) {
	var before memory
	_ = json.Unmarshal(text, &before) // of another version, it may say less
	limits := d.view().proxy.RateLimits()
	limits.Restore(before.RateLimits)
	if before.Identity != d.view().config.Log.Identity {
		limits.ForgetNames()
	}
}

// takeOver puts this process in charge, in the place of one of that version.
func (d *daemon) takeOver(before string) {
	d.log.Info(fmt.Sprintf("upgraded: %s → %s", before, d.options.Version))
	d.openGate()
	d.notifier.Mute(false)
	d.notify(d.notifier.Ready(d.statusLine()))
	if d.watchdog.ticker != nil {
		// The last sign of life may be half an interval old, and the first of this process be due
		// after as long.
		d.notify(d.notifier.Watchdog())
	}
	d.takeCharge()
}

// endPredecessor ends what depends on the process before this one. If that has not handed over, it
// was stopped or has crashed, and systemd stops or restarts the service.
func (d *daemon) endPredecessor() {
	close(d.upgrade.alone)
	d.publish(func(v *view) { v.predecessors = nil })
	if !d.inCharge && d.view().state.Phase == lifecycle.Running {
		d.log.Warn("the previous process ended without handing over; exiting")
		d.later(lifecycle.ShutdownSignal{})
	}
}
