package daemon

import (
	"context"
	"net"
	"time"

	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/lifecycle"
)

// retryAllowance is added to the start timeout beside the time of a retry itself.
const retryAllowance = 10 * time.Second

// stopAllowance is added to the stop timeout beside the drain, for what is written
// after it.
const stopAllowance = 5 * time.Second

// do performs one action of the state machine. None waits for a peer.
func (d *daemon) do(a lifecycle.Action) {
	switch a := a.(type) {
	case lifecycle.ConnectTailnet:
		d.connectTailnet()
	case lifecycle.ScheduleRetry:
		d.scheduleRetry(a.After)
	case lifecycle.FollowTailnet:
		d.followTailnet()
	case lifecycle.StartListeners:
		d.startListeners()
	case lifecycle.OpenGate:
		d.openGate()
	case lifecycle.NotifyReady:
		d.told(d.notifier.Ready(d.status()))
		d.reportToPredecessor()
	case lifecycle.NotifyReloading:
		d.told(d.notifier.Reloading("Reloading the configuration"))
	case lifecycle.NotifyStopping:
		d.told(d.notifier.Stopping(d.status()))
	case lifecycle.LoadConfig:
		d.beginReload()
	case lifecycle.ApplyConfig:
		d.applyReload()
	case lifecycle.KeepConfig:
		d.keepConfig()
	case lifecycle.UpdateStatus:
		d.told(d.notifier.Status(d.status()))
	case lifecycle.StartSuccessor:
		d.startSuccessor()
	case lifecycle.StopSuccessor:
		d.stopSuccessor()
	case lifecycle.NotifyMainPID:
		d.notifyMainPID()
	case lifecycle.HandOver:
		d.handOver()
	case lifecycle.BeginHandover:
		d.beginHandover()
	case lifecycle.CloseListeners:
		d.server.CloseListeners(d.listeners)
	case lifecycle.BeginDrain:
		d.beginDrain()
	case lifecycle.ForceClose:
		d.forceClose()
	}
}

// told logs that systemd could not be told something.
func (d *daemon) told(err error) {
	if err != nil {
		d.log.Warn("systemd was not told", "error", err)
	}
}

func (d *daemon) scheduleRetry(after time.Duration) {
	d.log.Warn("trying the tailnet again", "in", after, "retry", d.state.Retries, "of", lifecycle.MaxRetries)
	d.told(d.notifier.ExtendTimeout(after + retryAllowance))
	d.after(after, lifecycle.RetryTimer{})
}

// openGate lets the server accept.
func (d *daemon) openGate() {
	addresses := make([]net.Addr, 0, len(d.listeners))
	for _, l := range d.listeners {
		d.server.Open(l, func(err error) {
			d.log.Error("a listener failed; leaving, to be started anew", "listener", l.Name, "address", l.Addr().String(), "error", err)
			d.send(message{event: lifecycle.ListenerFailed{}})
		})
		addresses = append(addresses, l.Addr())
		d.log.Info("serving", "listener", l.Name, "address", l.Addr().String(),
			"upstream", d.view.config().Proxy.UpstreamURL.String(), "version", d.options.Version)
	}
	d.view.setSockets(socketStatuses(d.listeners))
	if d.options.Ready != nil {
		d.options.Ready(addresses)
	}
}

// cutTime is the end of the drain's time in which what is left is cut, so that the
// process is gone when drain_timeout has passed.
func cutTime(drain time.Duration) time.Duration { return min(drain/5, 500*time.Millisecond) }

func (d *daemon) beginDrain() {
	timeout := d.view.config().Proxy.DrainTimeout
	d.drainUntil = time.Now().Add(timeout)
	d.told(d.notifier.ExtendTimeout(timeout + stopAllowance)) // whatever TimeoutStopSec= says
	stats := d.proxy.Stats()
	d.log.Info("draining", "in_flight", stats.InFlight, "queued", stats.Queued, "timeout", timeout)
	if d.stopHandover != nil {
		d.stopHandover()
	}
	inCharge := d.owner
	d.begin(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, timeout-cutTime(timeout))
		defer cancel()
		err := d.server.Drain(ctx, inbound.SettleTime)
		if err == nil && inCharge {
			err = d.awaitPredecessors(ctx)
		}
		if err != nil {
			d.send(message{event: lifecycle.DrainTimeout{}})
			return
		}
		d.send(message{event: lifecycle.Drained{}})
	})
}

// forceClose cuts what did not end in time, or what a second signal has no patience
// for.
func (d *daemon) forceClose() {
	stats := d.proxy.Stats()
	d.log.Warn("cutting what is left", "in_flight", stats.InFlight, "queued", stats.Queued)
	deadline := time.Now().Add(cutTime(d.view.config().Proxy.DrainTimeout))
	if end := d.drainUntil; !end.IsZero() && deadline.After(end) { // zero: at the end of a hand-over
		deadline = end
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	d.server.Cut(ctx)
}

// install makes the parts that need a configuration to exist.
func (d *daemon) install() {
	l := d.loaded
	d.loaded = nil
	d.proxy, d.tailnet = l.proxy, l.tailnet
	d.view.setProxy(l.proxy)
	d.server = inbound.NewServer(d.handler(d.proxy), d.log)
	d.view.setServer(d.server)
	d.useConfig(l)
	if d.predecessor == nil {
		d.own()
	}
}

// own takes what there can be only one of for a service: the admin socket and the
// textfile.
func (d *daemon) own() {
	d.owner = true
	d.startAdmin()
	d.useTextfile(d.view.config().Metrics)
}

// disown leaves that to the successor.
func (d *daemon) disown() {
	d.owner = false
	if a := d.admin; a != nil {
		d.admin = nil
		d.work.Go(a.Close)
	}
	d.stopTextfile()
}
