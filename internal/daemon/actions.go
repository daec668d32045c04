package daemon

import (
	"context"
	"fmt"
	"time"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/systemd"
	"oauth-proxyd/internal/tailnet"
)

const (
	// retryAllowance is added to the start timeout beside the time of a retry itself.
	retryAllowance = 10 * time.Second
	// stopAllowance is added to the stop timeout beside the drain, for what is written after it.
	stopAllowance = 5 * time.Second
)

// do performs one action of the state machine. No action waits for a peer.
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
		if d.role == candidate {
			d.join() // takeOver opens it
		} else {
			d.openGate()
		}
	case lifecycle.NotifyReady:
		d.forgetEnding()
		d.notify("READY=1")
	case lifecycle.NotifyReloading:
		d.notify(systemd.Reloading())
	case lifecycle.NotifyStopping:
		d.notify("STOPPING=1")
	case lifecycle.LoadConfig:
		d.beginReload()
	case lifecycle.ApplyConfig:
		d.apply(d.reload.loaded)
	case lifecycle.KeepConfig:
		d.refuse(d.reload.loaded.err)
	case lifecycle.UpdateStatus:
		d.notify()
	case lifecycle.StartSuccessor:
		d.startSuccessor()
	case lifecycle.NotifyMainPID:
		d.notifyMainPID()
	case lifecycle.StayInCharge:
		d.stayInCharge(d.upgrade.err)
	case lifecycle.HandOver:
		d.handOver()
	case lifecycle.BeginHandover:
		d.beginHandover()
	case lifecycle.CloseListeners:
		d.view().server.CloseListeners()
	case lifecycle.BeginDrain:
		d.beginDrain()
	case lifecycle.ForceClose:
		d.forceClose()
	}
}

// notify sends systemd assignments of sd_notify(3), and the status. Only a process in charge does:
// systemd warns about messages of other processes.
func (d *daemon) notify(assignments ...string) {
	if d.role != inCharge {
		return
	}
	if err := d.notifier.Send(d.statusLine(), assignments...); err != nil {
		d.log.Warn("could not notify systemd", "error", err)
	}
}

// extendTimeout lets the start or the stop under way take a time from now on, even if
// TimeoutStartSec= or TimeoutStopSec= of the unit is shorter.
func (d *daemon) extendTimeout(by time.Duration) {
	d.notify(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", by.Microseconds()))
}

func (d *daemon) scheduleRetry(after time.Duration) {
	d.log.Warn("trying the tailnet again", "in", after, "retry", d.view().state.Retries, "of", lifecycle.MaxRetries)
	d.extendTimeout(after + retryAllowance)
	d.after(after, func() { d.raise(lifecycle.RetryTimer{}) })
}

// install starts to use the first configuration and what was built from it.
func (d *daemon) install(c *config.Config, p *proxy.Proxy, client *tailnet.Client) {
	d.tailnet = client
	server := inbound.NewServer(d.handler(p), d.log)
	d.publish(func(v *view) { v.proxy, v.server = p, server })
	d.useConfig(c)
	d.become(d.role) // which needed the configuration
}

// startListeners uses the sockets that systemd passed, or opens the configured address.
func (d *daemon) startListeners() {
	address := d.view().config.Proxy.ListenAddr
	if trouble := d.sockets.trouble(address); trouble != "" {
		d.log.Error(trouble)
	}
	listeners, err := d.sockets.listen(address)
	if err != nil {
		d.log.Error("proxy.listen_addr cannot be used", "address", address, "error", err)
		d.raise(lifecycle.ListenerFailed{})
		return
	}
	d.publish(func(v *view) { v.serving = listeners })
	d.raise(lifecycle.ListenersReady{})
}

func (d *daemon) openGate() {
	v := d.view()
	for _, l := range v.serving {
		v.server.Open(l.Name, l.Listener, func(err error) {
			d.log.Error("a listener failed; exiting, so that systemd restarts the service", "listener", l.Name, "address", l.Addr().String(), "error", err)
			d.send(lifecycle.ListenerFailed{})
		})
		d.log.Info("serving", "listener", l.Name, "address", l.Addr().String(),
			"upstream", v.config.Proxy.UpstreamURL.String(), "version", d.options.Version)
	}
	if d.options.Ready != nil {
		d.options.Ready(v.serving[0].Addr())
	}
}

// cutTime is the last part of drain_timeout. In it the remaining requests are cut, so that the
// process has ended when drain_timeout has passed.
func cutTime(drain time.Duration) time.Duration { return min(drain/5, 500*time.Millisecond) }

func (d *daemon) beginDrain() {
	v := d.view()
	timeout := v.config.Proxy.DrainTimeout
	d.extendTimeout(timeout + stopAllowance)
	stats := v.proxy.Stats()
	d.log.Info("draining", "in_flight", stats.InFlight, "queued", stats.Queued, "timeout", timeout)
	d.drain(timeout-cutTime(timeout), inbound.SettleTime, lifecycle.DrainTimeout{})
}

// drain waits until no request is in flight here, then for the end of the predecessor, which waits
// for its own. So the main process ends last: when it has ended, systemd sends the others a second
// SIGTERM, on which they cut their streams.
func (d *daemon) drain(timeout, settle time.Duration, late lifecycle.Event) {
	server := d.view().server
	d.inBackground(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		if server.Drain(ctx, settle) == nil {
			select {
			case <-d.upgrade.predecessorGone:
				d.send(lifecycle.Drained{})
				return
			case <-ctx.Done():
			}
		}
		d.send(d.unlessIdle(late))
	})
}

// unlessIdle returns late, which leads to a cut. Without a request in flight, it closes the idle
// connections and returns Drained.
func (d *daemon) unlessIdle(late lifecycle.Event) lifecycle.Event {
	if !d.view().isIdle() {
		return late
	}
	d.forceClose()
	return lifecycle.Drained{}
}

// forceClose cuts the requests that did not end in time, or before a second signal.
func (d *daemon) forceClose() {
	v := d.view()
	if stats := v.proxy.Stats(); !v.isIdle() {
		d.log.Warn("cutting the remaining requests", "in_flight", stats.InFlight, "queued", stats.Queued)
	}
	ctx, cancel := context.WithTimeout(context.Background(), cutTime(v.config.Proxy.DrainTimeout))
	defer cancel()
	v.server.Cut(ctx)
}
