package daemon

import (
	"sync/atomic"
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
	state      lifecycle.State
	config     *config.Config      // in force; nil until it is read
	loadedAt   time.Time           // when it was
	naming     naming              // as log.identity wants it
	proxy      *proxy.Proxy        // nil until the configuration is read
	server     *inbound.Server     // likewise
	serving    []systemd.Listener  // on which requests are accepted
	tailnet    *tailnet.Report     // the last; nil: none yet
	tailscaled *tailnet.Status     // the last that tailscaled gave itself; nil: none yet
	reload     *admin.ReloadStatus // the last; nil: none yet
	upgrade    string              // why the last one failed; empty: it did not

	predecessors []admin.Predecessor // what they still do, the oldest first
}

// views is the latest view. Everybody may look at it at any time.
type views struct{ latest atomic.Pointer[view] }

func (v *views) view() *view { return v.latest.Load() }

// publish changes the latest view and shows it to all readers. Only the loop calls it.
func (v *views) publish(change func(*view)) {
	next := *v.latest.Load()
	change(&next)
	v.latest.Store(&next)
}

// tailnetStatus is that of the last report.
func (v *view) tailnetStatus() (s tailnet.Status) {
	if v.tailnet != nil {
		s = v.tailnet.Status
	}
	return s
}

// predecessorsInFlight counts the requests of the processes before this one.
func (v *view) predecessorsInFlight() (n int) {
	for _, p := range v.predecessors {
		n += p.InFlight
	}
	return n
}
