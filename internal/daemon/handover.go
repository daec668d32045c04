package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"oauth-proxyd/internal/handover"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/proxy"
)

const (
	// successorTimeout is how long a new process may take until it serves.
	successorTimeout = 30 * time.Second
	// successorTrial is how long it then serves beside us before anything is given up:
	// what crashes soon has taken nothing with it.
	successorTrial = 2 * time.Second
	// successorPatience is how long one that is not wanted may take to leave.
	successorPatience = 5 * time.Second
	// handoverSettle is how long kept connections are waited for, to be told with their
	// next answer that it is the last.
	handoverSettle = 10 * time.Second
)

// errLeaving is why a process that took back is not upgraded again.
var errLeaving = errors.New("this process leaves in a moment, and then the installed program is started in its place")

// UpgradeOutcome is how an upgrade ended.
type UpgradeOutcome struct {
	// PID is of the process that serves now; 0: we serve on.
	PID int `json:"pid,omitempty"`
	// Error says why we serve on.
	Error string `json:"error,omitempty"`
}

// startSuccessor begins a process of the installed program. Until that serves, nothing
// here changes.
func (d *daemon) startSuccessor() {
	if d.leaving {
		d.noteUpgrade(errLeaving)
		d.later(lifecycle.SuccessorFailed{})
		return
	}
	d.view.upgrade.Store(nil)
	d.log.Info("starting the installed program to take over", "program", d.options.Program)
	listeners := make([]handover.Listener, 0, len(d.listeners))
	for _, l := range d.listeners {
		listeners = append(listeners, handover.Listener(l))
	}
	if d.successor != nil {
		d.successor.Close() // one that failed
	}
	s, err := handover.Start(handover.Config{
		Path: d.options.Program, Args: os.Args, Env: d.successorEnvironment(), Listeners: listeners,
	})
	if err != nil {
		d.noteUpgrade(err)
		d.later(lifecycle.SuccessorFailed{})
		return
	}
	d.successor = s
	d.begin(func(ctx context.Context) {
		ctx, cancel := context.WithTimeoutCause(ctx, successorTimeout,
			fmt.Errorf("it did not say within %v that it serves", successorTimeout))
		defer cancel()
		if err := s.AwaitReady(ctx); err != nil {
			if d.ctx.Err() != nil {
				return // our own end, with which it was told to end, too
			}
			endSuccessor(s)
			d.send(message{event: lifecycle.SuccessorFailed{}, upgradeErr: err})
			return
		}
		select {
		case <-s.Ended():
			d.send(message{event: lifecycle.SuccessorFailed{}, upgradeErr: s.Wait()})
		case <-time.After(successorTrial):
			d.send(message{event: lifecycle.SuccessorReady{}})
		case <-d.ctx.Done():
		}
	})
}

// successorEnvironment is ours, with what systemd told us as it would tell the other.
func (d *daemon) successorEnvironment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WATCHDOG_PID=") })
	if text, err := d.farewell(); err == nil {
		env = append(env, farewellVariable+"="+string(text))
	}
	return append(env, d.notifier.Environment()...)
}

// endSuccessor has a process leave that does not serve, if it must by force.
func endSuccessor(s *handover.Successor) {
	_ = s.Signal(syscall.SIGTERM) // what fails here is seen by the process not ending
	select {
	case <-s.Ended():
	case <-time.After(successorPatience):
		_ = s.Signal(syscall.SIGKILL)
		<-s.Ended()
	}
}

// stopSuccessor ends one that is not needed, without waiting for it.
func (d *daemon) stopSuccessor() {
	if s := d.successor; s != nil {
		_ = s.Signal(syscall.SIGTERM) // it may have ended
	}
}

// handOver makes the successor the main process, and follows it to its end.
func (d *daemon) handOver() {
	s := d.successor
	d.told(d.notifier.MainPID(s.PID()))
	d.notifier.Mute(true)
	d.disown()
	if err := s.Release(); err != nil {
		d.log.Warn("the new process may have failed", "error", err)
	}
	d.log.Info("handed over; finishing what is in flight", "pid", s.PID(), "in_flight", d.proxy.Stats().InFlight)
	d.answerUpgrades(UpgradeOutcome{PID: s.PID()})
	if d.predecessor != nil {
		d.predecessor.PassOn()
	}
	go d.follow(s) // to the end of the other process, which may outlive this one
}

// follow reports the end of the process that serves.
func (d *daemon) follow(s *handover.Successor) {
	if !s.Follow() {
		d.send(message{event: endOf(s), upgradeErr: s.Wait()})
	}
}

// endOf is what the end of the process that serves means to the one before: it was
// stopped, or it failed.
func endOf(s *handover.Successor) lifecycle.Event {
	if s.ExitCode() == lifecycle.ExitOK || s.ExitCode() == lifecycle.ExitDrainCut {
		return lifecycle.ShutdownSignal{}
	}
	return lifecycle.SuccessorFailed{}
}

// beginHandover lets what is in flight finish.
func (d *daemon) beginHandover() {
	timeout := d.view.config().Proxy.HandoverTimeout
	ctx, stop := context.WithCancel(d.ctx)
	d.stopHandover = stop
	d.announceHandover(ctx)
	servers := d.allServers()
	d.work.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		err := drainAll(ctx, servers, handoverSettle)
		switch {
		case err == nil:
			d.send(message{event: lifecycle.Drained{}})
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			d.send(message{event: lifecycle.HandoverTimeout{}})
		}
	})
}

// takeBack makes this process the main one again, as far as it can (see makeWay), and
// gets ready to accept.
func (d *daemon) takeBack() {
	d.stopHandover()
	d.notifier.Mute(false)
	d.told(d.notifier.MainPID(os.Getpid()))
	listeners, err := d.successor.Listeners()
	if err != nil {
		d.log.Error("the listeners cannot be opened again", "error", err)
		d.later(lifecycle.ListenerFailed{})
	}
	d.listeners = nil
	for _, l := range listeners {
		d.listeners = append(d.listeners, proxy.Listener(l))
	}
	d.retired = append(d.retired, d.server)
	d.server = d.newServer()
	d.view.setServer(d.server)
	d.server.Resize(limits(d.view.config()))
	d.own()
	d.makeWay()
}

// makeWay ends a process that has taken back, before systemd's watchdog does: with
// NotifyAccess=main (all would weigh on the sandbox) systemd listens to nobody but the process that failed, whose end
// it does not see as long as there are others in the unit (it is not its parent). At
// the end of this one it starts anew for the next client; the sockets keep those who
// come meanwhile. Half of the interval may be over when the other process ends, and
// the drain must fit into the rest. It takes no other upgrade until
// then: systemd would not hear that successor either.
func (d *daemon) makeWay() {
	interval := d.watchdog.interval
	if interval == 0 {
		return
	}
	wait := interval / 4
	d.log.Warn("systemd still takes the process that failed for the one that serves; leaving, to be started anew", "in", wait)
	d.leaving = true
	d.after(wait, lifecycle.ShutdownSignal{})
}

// noteUpgrade keeps and says why a successor does not serve.
func (d *daemon) noteUpgrade(err error) {
	d.log.Error("the upgrade failed; this process serves", "error", err)
	text := err.Error()
	d.view.upgrade.Store(&text)
	d.answerUpgrades(UpgradeOutcome{Error: err.Error()})
}

// answerUpgrades tells those who asked for the upgrade.
func (d *daemon) answerUpgrades(o UpgradeOutcome) {
	for _, w := range d.upgradeWaiters {
		w <- o
	}
	d.upgradeWaiters = nil
}

// reportToPredecessor tells the process that started us that we serve, and waits for
// what is its to be ours.
func (d *daemon) reportToPredecessor() {
	p := d.predecessor
	if p == nil || d.reported {
		return
	}
	d.reported = true
	d.begin(func(ctx context.Context) {
		stop := context.AfterFunc(ctx, func() { _ = p.Close() }) // it may be closed already
		defer stop()
		p.AwaitRelease()
		if ctx.Err() == nil {
			d.send(message{released: true})
		}
	})
}

// succeed makes this process the one that counts.
func (d *daemon) succeed() {
	d.log.Info("took over from the process before", "version", d.options.Version)
	d.notifier.Mute(false)
	d.told(d.notifier.Ready(d.status()))
	if d.watchdog.interval > 0 {
		// The last sign of life may be half an interval old, and ours begin
		// after as long.
		d.told(d.notifier.Watchdog())
	}
	d.reportFarewell()
	d.own()
}
