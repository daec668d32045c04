package daemon

import (
	"context"
	"slices"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/ratelimit"
)

const stoppingText = "the daemon is stopping"

// startAdmin opens the admin socket, which publishAdmin gives its path, unless it is open.
func (d *daemon) startAdmin() (err error) {
	if d.admin != nil || d.options.AdminSocket == "" {
		return nil
	}
	d.admin, err = admin.Serve(d.options.AdminSocket, d.role == candidate, admin.Commands{
		Status: func() admin.Status { return d.fullStatus(time.Now()) },
		Reload: d.requestReload, DryRun: d.dryRun, Upgrade: d.requestUpgrade,
		InFlight:    func() []proxy.Trace { return d.view().proxy.InFlight() },
		Failures:    func() []proxy.Trace { return lastFailures(d.view().proxy.Ended()) },
		Explain:     func(id string) []proxy.Trace { return d.view().proxy.Find(id) },
		Limits:      func() []ratelimit.Account { return d.view().proxy.RateLimits().Report() },
		ExpectProbe: d.probes.expect, ProbeReport: d.probes.reportOn,
	}, d.log)
	return err
}

// publishAdmin makes the admin socket the one of the service.
func (d *daemon) publishAdmin() {
	err := d.startAdmin()
	if d.admin != nil {
		err = d.admin.Publish()
	}
	if err != nil {
		d.log.Warn("no admin socket: reload with SIGHUP", "error", err)
	}
}

// restoreAdmin makes the admin socket again if it could not be opened before, or was removed.
func (d *daemon) restoreAdmin() {
	if d.role == inCharge && (d.admin == nil || d.admin.IsGone()) {
		d.closeAdmin()
		d.publishAdmin()
	}
}

func (d *daemon) closeAdmin() {
	if a := d.admin; a != nil {
		d.admin = nil
		d.work.Go(a.Close)
	}
}

func lastFailures(ended []proxy.Trace) []proxy.Trace {
	const most = 20 // for a bundle
	failed := slices.DeleteFunc(ended, func(t proxy.Trace) bool { return !t.Failed() })
	return failed[max(0, len(failed)-most):]
}

// requestReload waits for the outcome, so that systemctl reload fails if the reload does.
func (d *daemon) requestReload(client context.Context, asker string) admin.ReloadOutcome {
	return request(client, d, admin.ReloadOutcome{Error: stoppingText}, func(outcome chan<- admin.ReloadOutcome) {
		d.reload.waiting = append(d.reload.waiting, reloadRequest{asker, outcome})
		d.raise(lifecycle.ReloadRequested{})
	})
}

// requestUpgrade waits until the new process serves, or it is certain that it will not serve.
func (d *daemon) requestUpgrade(client context.Context, asker string) admin.UpgradeOutcome {
	return request(client, d, admin.UpgradeOutcome{Error: stoppingText}, func(outcome chan<- admin.UpgradeOutcome) {
		d.log.Info("upgrade requested", "asked_by", asker)
		d.upgrade.waiters = append(d.upgrade.waiters, outcome)
		d.raise(lifecycle.UpgradeRequested{})
	})
}

// request has the loop call ask, which keeps the channel for the outcome, and waits for the outcome
// until the loop ends or the client leaves.
func request[Outcome any](client context.Context, d *daemon, stopping Outcome, ask func(chan<- Outcome)) Outcome {
	outcome := make(chan Outcome, 1)
	d.inLoop(func() { ask(outcome) })
	select {
	case o := <-outcome:
		return o
	case <-d.ctx.Done():
	case <-client.Done():
	}
	return stopping
}
