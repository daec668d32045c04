package daemon

import (
	"errors"
	"fmt"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/logging"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/tailnet"
)

// loaded is a configuration with all that was built from it, ready to be put in
// force by steps that cannot fail.
type loaded struct {
	config *config.Config
	apply  func() // to the proxy; nil for the first

	// Of the first only:
	proxy   *proxy.Proxy
	tailnet *tailnet.Client
}

// sendInitialConfig reads the configuration and makes the proxy of it.
func (d *daemon) sendInitialConfig() {
	c, err := d.load()
	if err != nil {
		d.reportConfig(err)
		d.send(message{event: lifecycle.ConfigFailed{}})
		return
	}
	client := tailnet.New(tailnet.Config{Socket: c.Tailscale.Socket})
	p, err := proxy.New(d.proxyConfig(client), d.settings(c))
	if err != nil {
		d.reportConfig(err)
		d.send(message{event: lifecycle.ConfigFailed{}})
		return
	}
	d.send(message{
		event: lifecycle.ConfigLoaded{
			TailnetRequired: c.Tailscale.Required,
			WaitWhenDown:    c.Tailscale.WhenDown == config.Wait,
		},
		loaded: &loaded{config: c, proxy: p, tailnet: client},
	})
}

// load reads the configuration and checks it against the sockets.
func (d *daemon) load() (*config.Config, error) {
	c, err := d.options.Load()
	if err != nil {
		return nil, err
	}
	for _, l := range d.inherited {
		if isOwnSocket(c.Proxy, l.Addr()) {
			return nil, fmt.Errorf(
				"proxy.upstream_url %s is this daemon's own socket %q: requests would go round for ever", c.Proxy.UpstreamURL, l.Name)
		}
	}
	return c, nil
}

// settings are what the proxy reads of the configuration, and how its log names people.
func (d *daemon) settings(c *config.Config) proxy.Settings {
	return proxy.Settings{Config: *c, LogIdentity: d.namingOf(c.Log.Identity).name}
}

// beginReload reads the configuration anew, away from the loop.
func (d *daemon) beginReload() {
	d.reloadCurrent, d.reloadWaiters = d.reloadWaiters, nil
	p := d.proxy
	d.work.Go(func() {
		c, err := d.load()
		if err != nil {
			d.send(message{event: lifecycle.ReloadFailed{}, err: err})
			return
		}
		apply, err := p.Prepare(d.settings(c))
		if err != nil {
			d.send(message{event: lifecycle.ReloadFailed{}, err: err})
			return
		}
		d.send(message{
			event:  lifecycle.ReloadDone{TailnetRequired: c.Tailscale.Required},
			loaded: &loaded{config: c, apply: apply},
		})
	})
}

// applyReload puts what was loaded in force.
func (d *daemon) applyReload() {
	l := d.loaded
	d.loaded = nil
	changes := config.Diff(d.view.config(), l.config)
	l.apply()
	d.useConfig(l)
	d.log.Info("configuration reloaded", "changes", len(changes))
	for _, c := range changes {
		if c.NeedsRestart {
			d.log.Warn("a changed setting needs a restart", "setting", c.Path, "in_force", c.Old, "in_file", c.New)
		}
	}
	d.finishReload(admin.ReloadOutcome{Applied: true, Changes: changes, Warnings: l.config.Warnings()})
}

// useConfig lets all that looks at the configuration see the new one.
func (d *daemon) useConfig(l *loaded) {
	c := d.keepUntilRestart(l.config)
	d.useNaming(c)
	d.view.setConfig(c)
	d.server.Resize(requestLimit(c))
	d.logs.SetLevel(c.Log.Level)
	if err := d.logs.SetFormat(logging.Format(c.Log.Format)); err != nil {
		d.log.Error("log.format stays as it was", "error", err)
	}
	d.metrics.reloadSucceeded(time.Now())
	for _, w := range c.Warnings() {
		d.log.Warn("configuration: " + w)
	}
	if d.owner {
		d.useTextfile(c.Metrics) // the last: it writes at once, and not that nothing was loaded
	}
}

// useNaming puts log.identity in force, also for what is remembered.
func (d *daemon) useNaming(c *config.Config) {
	before := d.view.config()
	if before != nil && before.Log.Identity == c.Log.Identity {
		return
	}
	names := d.namingOf(c.Log.Identity)
	d.view.setNaming(names)
	if before != nil && names.withholds() {
		d.proxy.ForgetSenders()
	}
}

// keepUntilRestart is the configuration with what cannot change in a running
// process as it was, so that nothing claims the new.
func (d *daemon) keepUntilRestart(next *config.Config) *config.Config {
	current := d.view.config()
	if current == nil {
		return next
	}
	c := *next
	c.Proxy.ListenAddr = current.Proxy.ListenAddr
	c.Tailscale.Socket = current.Tailscale.Socket
	return &c
}

// requestLimit is how many requests may be in flight or wait.
func requestLimit(c *config.Config) int { return c.Proxy.MaxConnections + c.Proxy.QueueLimit }

// keepConfig says why the configuration in force stays.
func (d *daemon) keepConfig() {
	err := d.loadErr
	d.loadErr = nil
	d.log.Error("reload refused, the configuration in force stays")
	d.reportConfig(err)
	d.metrics.reloadFailed()
	d.view.setReload(admin.ReloadStatus{At: time.Now(), OK: false, Error: err.Error()})
	d.answer(refusal(err))
}

func refusal(err error) admin.ReloadOutcome {
	if refused, ok := errors.AsType[*config.Error](err); ok {
		return admin.ReloadOutcome{Diagnostics: refused.Diagnostics()}
	}
	return admin.ReloadOutcome{Error: err.Error()}
}

func (d *daemon) finishReload(o admin.ReloadOutcome) {
	changed := make([]string, 0, len(o.Changes))
	for _, c := range o.Changes {
		changed = append(changed, c.Path)
	}
	d.view.setReload(admin.ReloadStatus{At: time.Now(), OK: true, Changed: changed})
	d.answer(o)
}

// answer tells those who asked for the reload under way.
func (d *daemon) answer(o admin.ReloadOutcome) {
	for _, w := range d.reloadCurrent {
		w <- o
	}
	d.reloadCurrent = nil
}

// answerReloads tells all who ask for any.
func (d *daemon) answerReloads(o admin.ReloadOutcome) {
	d.answer(o)
	d.reloadCurrent, d.reloadWaiters = d.reloadWaiters, nil
	d.answer(o)
}

// tryReload says what a reload would change.
func (d *daemon) tryReload() admin.ReloadOutcome {
	c, err := d.load()
	if err != nil {
		return refusal(err)
	}
	return admin.ReloadOutcome{Changes: config.Diff(d.view.config(), c), Warnings: c.Warnings()}
}
