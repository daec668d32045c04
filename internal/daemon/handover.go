package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
	// successorTimeout is how long a new process may take to get ready.
	successorTimeout = 30 * time.Second
	// askTimeout bounds a question to systemd, and the wait until it follows the successor.
	askTimeout = 5 * time.Second
	// askInterval is the pause between two questions.
	askInterval = 50 * time.Millisecond
	// handoverSettle is how long the predecessor keeps idle connections open. Their next response
	// then says that it is the last one.
	handoverSettle = 10 * time.Second
	// reportInterval is how often the predecessor reports how many requests it still has.
	reportInterval = time.Second
)

// upgrade is what the loop knows of the processes before and after this one.
type upgrade struct {
	predecessorGone chan struct{}      // closed once there is no predecessor; any goroutine may wait for it
	successor       *systemd.Successor // the process that is ready to take over; nil: none
	err             error              // why there is no successor, after SuccessorFailed
	waiters         []chan<- admin.UpgradeOutcome
}

func (u *upgrade) respond(o admin.UpgradeOutcome) {
	for _, w := range u.waiters {
		w <- o
	}
	u.waiters = nil
}

// startSuccessor starts a process of the installed program. Until systemd follows that process,
// nothing changes in this one. If this one ends first, the successor notices and exits.
func (d *daemon) startSuccessor() {
	d.publish(func(v *view) { v.upgradeFault = "" })
	listeners := d.view().serving
	d.inBackground(func(ctx context.Context) {
		s, err := d.bringUp(ctx, listeners)
		d.inLoop(func() {
			d.upgrade.successor = s
			d.endStep(lifecycle.SuccessorReady{}, err)
		})
	})
}

// endStep raises e, or SuccessorFailed if err says why this step of the upgrade failed.
func (d *daemon) endStep(e lifecycle.Event, err error) {
	d.upgrade.err = err
	if err != nil {
		e = lifecycle.SuccessorFailed{}
	}
	d.raise(e)
}

// bringUp returns a successor that is ready and that systemd would supervise. It runs the program
// that a restart of the unit would run.
func (d *daemon) bringUp(ctx context.Context, listeners []systemd.Listener) (*systemd.Successor, error) {
	if d.notifier.Socket() == "" {
		return nil, errors.New("systemd does not run this process with Type=notify; stop it and start the installed program instead")
	}
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	unit, err := d.service.Show(asking)
	if err := cmp.Or(err, unit.CheckHandover(os.Getpid(), os.Args)); err != nil {
		return nil, err
	}
	d.log.Info("starting the installed program to take over", "program", unit.Program)
	// The successor gets the environment that systemd would give it.
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WATCHDOG_PID=") })
	s, err := systemd.StartSuccessor(&exec.Cmd{
		Path: unit.Program, Args: os.Args, Env: append(env, "NOTIFY_SOCKET="+d.notifier.Socket()),
	}, listeners)
	if err != nil {
		return nil, err
	}
	ready, cancel := context.WithTimeoutCause(ctx, successorTimeout,
		fmt.Errorf("it was not ready within %v", successorTimeout))
	defer cancel()
	if err := s.AwaitReady(ready); err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

// notifyMainPID makes the successor the main process of the service, and has it take over. This
// process accepts connections until the successor accepts them.
func (d *daemon) notifyMainPID() {
	// If the successor hangs, systemd's watchdog aborts every process of the unit. This one ignores
	// that, and drains on the SIGTERM that follows.
	signal.Ignore(syscall.SIGABRT)
	s := d.upgrade.successor
	d.notify(fmt.Sprintf("MAINPID=%d", s.PID))
	d.become(leaving)
	d.inBackground(func(ctx context.Context) {
		err := d.awaitMainPID(ctx, s.PID)
		switch {
		case err == nil:
			err = s.TakeOver(ctx, d.memory())
		case ctx.Err() == nil:
			s.Kill()
		}
		d.inLoop(func() { d.endStep(lifecycle.SuccessorFollowed{}, err) })
	})
}

// awaitMainPID returns nil when systemd reports the process as the main one of the service. It has
// to ask, because a message that systemd ignores brings no error: the unit may have been masked
// since.
func (d *daemon) awaitMainPID(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	why := errors.New("systemd did not respond")
	for {
		unit, err := d.service.Show(ctx)
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

// stayInCharge ends an upgrade that failed: this process is in charge, and says why.
func (d *daemon) stayInCharge(err error) {
	signal.Reset(syscall.SIGABRT)
	d.become(inCharge)
	d.upgrade.successor = nil
	d.log.Error("the upgrade failed; this process keeps running", "error", err)
	text := err.Error()
	d.upgrade.respond(admin.UpgradeOutcome{Error: text})
	if d.notifier.Socket() != "" { // else no upgrade can succeed
		text += "; see " + d.logLines("", "") + ", then run `oauth-proxyd upgrade`"
	}
	d.publish(func(v *view) { v.upgradeFault = "the last upgrade failed and this process keeps running: " + text })
}

// handOver leaves the successor in charge, which accepts connections now.
func (d *daemon) handOver() {
	pid := d.upgrade.successor.PID
	d.become(handedOver)
	d.log.Info("handed over; finishing open requests", "pid", pid, "in_flight", d.view().proxy.Stats().InFlight)
	d.upgrade.respond(admin.UpgradeOutcome{PID: pid})
}

// beginHandover lets the requests in flight finish, within handover_timeout.
func (d *daemon) beginHandover() {
	s, since := d.upgrade.successor, time.Now()
	d.inBackground(func(ctx context.Context) { d.reportTo(ctx, s, since) })
	d.drain(d.view().config.Proxy.HandoverTimeout, handoverSettle, lifecycle.HandoverTimeout{})
}

// reportTo keeps reporting to the successor how many requests this process and those before it
// still have.
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
			return // the successor has ended, and systemd ends this process too
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
