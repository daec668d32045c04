package daemon

import (
	"sync/atomic"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/tailnet"
)

// view is what the loop lets others see of what it knows. Only the loop sets it.
type view struct {
	current atomic.Pointer[config.Config]
	state   atomic.Pointer[lifecycle.State]
	report  atomic.Pointer[tailnet.Report]
	reload  atomic.Pointer[admin.ReloadStatus]
	upgrade atomic.Pointer[string] // why the last one failed; nil: it did not
	serving atomic.Pointer[[]admin.SocketStatus]
	proxy   atomic.Pointer[proxy.Proxy]
	server  atomic.Pointer[inbound.Server] // the one that accepts
	names   atomic.Pointer[naming]

	answered atomic.Pointer[tailnet.Status] // the last that tailscaled gave
}

func (v *view) setConfig(c *config.Config)        { v.current.Store(c) }
func (v *view) setState(s lifecycle.State)        { v.state.Store(&s) }
func (v *view) setReload(r admin.ReloadStatus)    { v.reload.Store(&r) }
func (v *view) setSockets(s []admin.SocketStatus) { v.serving.Store(&s) }
func (v *view) setProxy(p *proxy.Proxy)           { v.proxy.Store(p) }
func (v *view) setServer(s *inbound.Server)       { v.server.Store(s) }
func (v *view) served() proxy.Stats               { return v.proxy.Load().Stats() }
func (v *view) config() *config.Config            { return v.current.Load() }
func (v *view) setNaming(n naming)                { v.names.Store(&n) }
func (v *view) tailnetReport() *tailnet.Report    { return v.report.Load() }
func (v *view) reloaded() *admin.ReloadStatus     { return v.reload.Load() }

// connections counts those that are open; zero before there is a server.
func (v *view) connections() inbound.ConnectionStats {
	if s := v.server.Load(); s != nil {
		return s.Connections()
	}
	return inbound.ConnectionStats{}
}

// upstream is where requests go, and how.
func (v *view) upstream() admin.UpstreamStatus {
	route, last := v.proxy.Load().Route(), v.served().LastSuccess
	u := admin.UpstreamStatus{URL: v.config().Proxy.UpstreamURL.String(), Proxy: route.Proxy, Connections: route.Connections}
	if !route.Since.IsZero() {
		u.Since = &route.Since
	}
	if !last.IsZero() {
		u.LastSuccess = &last
	}
	return u
}

// naming is that of log.identity; before the configuration is read nobody is named at all.
func (v *view) naming() naming {
	if n := v.names.Load(); n != nil {
		return *n
	}
	return naming{}
}

// sockets are those that requests are taken on, once they are.
func (v *view) sockets() []admin.SocketStatus {
	if s := v.serving.Load(); s != nil {
		return *s
	}
	return []admin.SocketStatus{}
}

func (v *view) setTailnet(r tailnet.Report) {
	v.report.Store(&r)
	if r.Status.Backend != "" {
		v.answered.Store(&r.Status)
	}
}

func (v *view) lifecycle() lifecycle.State {
	if s := v.state.Load(); s != nil {
		return *s
	}
	return lifecycle.State{}
}
