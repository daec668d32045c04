package daemon

import (
	"cmp"
	"errors"
	"os"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/tailnet"
)

// reloads is what the loop knows of reloads.
type reloads struct {
	loaded  loaded          // by LoadConfig, for ApplyConfig and KeepConfig
	current []reloadRequest // those that the reload under way is for
	waiting []reloadRequest // those that came too late for it
}

// loaded is a configuration that can be applied, or the reason why it cannot.
type loaded struct {
	config     *config.Config
	applyProxy func() // applies it to the proxy
	err        error
}

// reloadRequest is a request for a reload, by a client of the admin socket or a signal.
type reloadRequest struct {
	by      string                     // for the log
	outcome chan<- admin.ReloadOutcome // buffered
}

func (r *reloads) respond(o admin.ReloadOutcome) {
	for _, request := range r.current {
		request.outcome <- o
	}
	r.current = nil
}

func (r *reloads) askedBy() (all []string) {
	for _, request := range r.current {
		all = append(all, request.by)
	}
	return all
}

// loadFirst reads the configuration at the start, and makes what needs one.
func (d *daemon) loadFirst() {
	c, err := d.load()
	var client *tailnet.Client
	var p *proxy.Proxy
	if err == nil {
		client = tailnet.New(tailnet.Config{Socket: c.Tailscale.Socket})
		host, _ := os.Hostname()
		p, err = proxy.New(proxy.Config{
			Host: cmp.Or(host, "unknown"), Log: d.log, Registerer: d.registry,
			Tailnet: tailnetView{client, d}, OwnName: d.namesThisNode, LogLines: d.logLines,
		}, d.settings(c))
	}
	if err != nil {
		d.logRefusal(err)
		d.send(lifecycle.ConfigFailed{})
		return
	}
	d.inLoop(func() {
		d.install(c, p, client)
		d.raise(lifecycle.ConfigLoaded{TailnetRequired: c.Tailscale.Required, WaitWhenDown: c.Tailscale.WhenDown == config.Wait})
	})
}

// load reads the configuration and checks it against the sockets.
func (d *daemon) load() (*config.Config, error) {
	c, err := d.options.Load()
	if err != nil {
		return nil, err
	}
	return c, d.sockets.check(c.Proxy)
}

// settings returns what the proxy needs of a configuration.
func (d *daemon) settings(c *config.Config) proxy.Settings {
	fitted := *c
	fitted.Proxy, _ = d.fit(c.Proxy)
	return proxy.Settings{Config: fitted, LogIdentity: d.namingOf(c.Log.Identity).name}
}

// fit returns c with as many slots and waiting requests as this process has file descriptors for. A
// request needs one for its client, and with a slot one for the upstream. scale, for
// [inbound.Server.Resize], is below 1 if the other connections would take more than half of them.
func (d *daemon) fit(c config.Proxy) (fitted config.Proxy, scale float64) {
	const other = 64 // the log, name servers, tailscaled, the admin socket
	files := float64(max(d.maxFiles-other, 1))
	scale = min(1, files/2/inbound.Descriptors)
	requests := min(1, (files-scale*inbound.Descriptors)/float64(2*c.MaxConnections+c.QueueLimit))
	c.MaxConnections = max(1, int(requests*float64(c.MaxConnections)))
	c.QueueLimit = int(requests * float64(c.QueueLimit))
	return c, scale
}

func (d *daemon) beginReload() {
	d.restoreAdmin()
	d.reload.current, d.reload.waiting = d.reload.waiting, nil
	p := d.view().proxy
	d.work.Go(func() {
		var l loaded
		if l.config, l.err = d.load(); l.err == nil {
			l.applyProxy, l.err = p.Prepare(d.settings(l.config))
		}
		d.inLoop(func() {
			d.reload.loaded = l
			if l.err != nil {
				d.raise(lifecycle.ReloadFailed{})
			} else {
				d.raise(lifecycle.ReloadDone{TailnetRequired: l.config.Tailscale.Required})
			}
		})
	})
}

func (d *daemon) apply(l loaded) {
	current, next := d.view().config, l.config
	changes := config.Diff(current, next)
	l.applyProxy()
	active := *next // what only a restart changes is shown as it is
	active.Proxy.ListenAddr, active.Tailscale.Socket = current.Proxy.ListenAddr, current.Tailscale.Socket
	d.useConfig(&active)
	askedBy := d.reload.askedBy()
	d.log.Info("configuration reloaded", "changes", len(changes), "asked_by", askedBy)
	paths := make([]string, 0, len(changes))
	for _, c := range changes {
		paths = append(paths, c.Path)
		if c.NeedsRestart {
			d.log.Warn("a changed setting needs a restart", "setting", c.Path, "active", c.Old, "in_file", c.New, "asked_by", askedBy)
		} else {
			d.log.Info("setting changed", "setting", c.Path, "before", c.Old, "now", c.New, "asked_by", askedBy)
		}
	}
	d.publish(func(v *view) { v.reload = &admin.ReloadStatus{At: time.Now(), OK: true, Changed: paths} })
	d.reload.respond(admin.ReloadOutcome{Applied: true, Changes: changes, Warnings: d.configWarnings(next)})
}

// useConfig applies a configuration to all parts but the proxy.
func (d *daemon) useConfig(c *config.Config) {
	before := d.view().config
	naming := d.namingOf(c.Log.Identity)
	d.publish(func(v *view) { v.config, v.loadedAt, v.naming = c, time.Now(), naming })
	if before != nil && before.Log.Identity != c.Log.Identity && naming.withholds() {
		d.view().proxy.ForgetSenders()
	}
	fitted, scale := d.fit(c.Proxy)
	d.view().server.Resize(fitted.MaxConnections+fitted.QueueLimit, scale)
	if d.role == inCharge {
		d.textfile.use(c.Metrics)
	}
	d.logs.SetLevel(c.Log.Level)
	if err := d.logs.SetFormat(c.Log.Format); err != nil {
		d.log.Error("log.format is unchanged", "error", err)
	}
	for _, w := range d.configWarnings(c) {
		d.log.Warn("configuration: " + w)
	}
}

func (d *daemon) refuse(err error) {
	d.log.Error("reload refused; the current configuration is unchanged", "asked_by", d.reload.askedBy())
	d.logRefusal(err)
	d.publish(func(v *view) { v.reload = &admin.ReloadStatus{At: time.Now(), Error: err.Error()} })
	d.reload.respond(refusal(err))
}

func (d *daemon) logRefusal(err error) {
	o := refusal(err)
	if o.Error != "" {
		d.log.Error("configuration refused", "error", err)
	}
	for _, g := range o.Diagnostics {
		d.log.Error("configuration refused: "+g.Where()+": "+g.Summary, "detail", g.Detail)
	}
}

func refusal(err error) admin.ReloadOutcome {
	if refused, ok := errors.AsType[*config.Error](err); ok {
		return admin.ReloadOutcome{Diagnostics: refused.Diagnostics()}
	}
	return admin.ReloadOutcome{Error: err.Error()}
}

func (d *daemon) dryRun() admin.ReloadOutcome {
	c, err := d.load()
	if err != nil {
		return refusal(err)
	}
	return admin.ReloadOutcome{Changes: config.Diff(d.view().config, c), Warnings: d.configWarnings(c)}
}
