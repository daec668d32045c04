package daemon

import (
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/systemd"
	"oauth-proxyd/internal/tailnet"
)

// view is what the daemon knows at one moment. A view never changes: the loop publishes another.
type view struct {
	state    lifecycle.State
	config   *config.Config // the active one; nil until it is read, as are naming, proxy and server
	loadedAt time.Time      // when the configuration was read
	naming   naming
	proxy    *proxy.Proxy
	server   *inbound.Server
	serving  []systemd.Listener  // the listeners on which requests are accepted
	reload   *admin.ReloadStatus // the last one; nil: none yet

	upgradeFault string // of the last one; empty: it did not fail

	tailnet    tailnet.Report // the last one; zero: none yet
	tailscaled tailnet.Status // the last one that tailscaled itself gave; zero: none yet

	predecessors []admin.Predecessor // the oldest first
}

func (d *daemon) view() *view { return d.latest.Load() }

// publish replaces the latest view by a changed copy. Only the loop calls it.
func (d *daemon) publish(change func(*view)) {
	next := *d.view()
	change(&next)
	d.latest.Store(&next)
}

func (v *view) predecessorsInFlight() (n int) {
	for _, p := range v.predecessors {
		n += p.InFlight
	}
	return n
}

// isIdle reports whether no request is in flight or queued, here or in predecessors.
func (v *view) isIdle() bool {
	if v.proxy == nil {
		return true
	}
	stats := v.proxy.Stats()
	return stats.InFlight+stats.Queued+v.predecessorsInFlight() == 0
}
