package daemon

import (
	"sync/atomic"
	"time"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/tailnet"
)

// view is what the loop lets others see of what it knows. Only the loop sets it.
type view struct {
	current atomic.Pointer[config.Config]
	state   atomic.Pointer[lifecycle.State]
	report  atomic.Pointer[tailnet.Report]
	reload  atomic.Pointer[lastReload]

	isUserspace atomic.Bool // when tailscaled last said
}

// lastReload is how the latest reload ended.
type lastReload struct {
	At    time.Time `json:"at"`
	OK    bool      `json:"ok"`
	Error string    `json:"error,omitempty"`
}

func (v *view) setConfig(c *config.Config)     { v.current.Store(c) }
func (v *view) setState(s lifecycle.State)     { v.state.Store(&s) }
func (v *view) setReload(r lastReload)         { v.reload.Store(&r) }
func (v *view) config() *config.Config         { return v.current.Load() }
func (v *view) tailnetReport() *tailnet.Report { return v.report.Load() }
func (v *view) reloaded() *lastReload          { return v.reload.Load() }

func (v *view) setTailnet(r tailnet.Report) {
	v.report.Store(&r)
	if r.Status.Backend != "" {
		v.isUserspace.Store(r.Status.Userspace)
	}
}

// userspace is whether peers may come from loopback. A tailscaled that gives no
// answer may still deliver them: what it last said holds.
func (v *view) userspace() bool { return v.lifecycle().Required && v.isUserspace.Load() }

func (v *view) lifecycle() lifecycle.State {
	if s := v.state.Load(); s != nil {
		return *s
	}
	return lifecycle.New()
}
