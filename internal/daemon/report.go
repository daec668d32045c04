package daemon

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/proxy"
)

// report may be called from anywhere: it looks at the view only.
func (d *daemon) report(now time.Time) admin.Status {
	c, stats := d.view.config(), d.view.served()
	s := admin.Status{
		Status: d.healthWord(), Trouble: d.socketTrouble(), State: d.view.lifecycle().Phase.String(),
		Version: d.options.Version, PID: os.Getpid(),
		StartedAt: d.started.UTC(), UptimeSeconds: int64(now.Sub(d.started).Seconds()),
		Sockets: d.view.sockets(),
		Requests: admin.RequestStatus{
			InFlight: stats.InFlight, Queued: stats.Queued, Served: stats.Served, Failed: stats.Failed,
		},
		Limits: admin.LimitStatus{
			MaxConnections: c.Proxy.MaxConnections, MaxConnectionsPerClient: c.Proxy.MaxConnectionsPerClient,
			QueueLimit: c.Proxy.QueueLimit, MaxRequestBody: c.Proxy.MaxRequestBody,
		},
		Connections: d.view.connections(),
		Upstream:    d.view.upstream(),
		LastReload:  d.view.reloaded(), Predecessors: append([]admin.Predecessor{}, d.predecessors()...), // a list in JSON too
	}
	p := d.view.proxy.Load()
	inFlight := p.InFlight()
	s.Senders, s.Slowest = senders(inFlight, p.Ended(), now), slowest(inFlight)
	s.Tailnet = d.tailnetStatus()
	s.Warnings = d.warnings(s, now)
	return s
}

// senderPeriod is how far back senders look, at what is remembered.
const senderPeriod = 15 * time.Minute

func senders(inFlight, ended []proxy.Trace, now time.Time) []admin.SenderStatus {
	all := map[string]*admin.SenderStatus{}
	of := func(t proxy.Trace) *admin.SenderStatus {
		name := cmp.Or(t.Node, string(t.Source), "not judged yet")
		if all[name] == nil {
			all[name] = &admin.SenderStatus{Sender: name}
		}
		return all[name]
	}
	for _, t := range inFlight {
		of(t).InFlight++
	}
	for _, t := range ended {
		if now.Sub(t.Started.Add(t.Duration.Duration())) > senderPeriod {
			continue
		}
		s := of(t)
		s.Ended++
		if t.Failed() {
			s.Failed++
		}
	}
	sorted := make([]admin.SenderStatus, 0, len(all))
	for _, s := range all {
		sorted = append(sorted, *s)
	}
	slices.SortFunc(sorted, func(a, b admin.SenderStatus) int {
		return cmp.Or(cmp.Compare(b.InFlight+b.Ended, a.InFlight+a.Ended), cmp.Compare(a.Sender, b.Sender))
	})
	return sorted
}

// slowest is the one in flight that has been silent longest.
func slowest(inFlight []proxy.Trace) *proxy.Trace {
	if len(inFlight) == 0 {
		return nil
	}
	t := slices.MaxFunc(inFlight, func(a, b proxy.Trace) int { return cmp.Compare(a.Silence, b.Silence) })
	return &t
}

func (d *daemon) tailnetStatus() admin.TailnetStatus {
	state := d.view.lifecycle()
	t := admin.TailnetStatus{Status: tailnetWord(state.Tailnet), Addresses: []netip.Addr{}, Warnings: []string{}}
	r := d.view.tailnetReport()
	if r == nil || !state.TailnetRequired() {
		return t
	}
	t.Name, t.BackendState, t.Version, t.Userspace = r.Status.Name, r.Status.Backend, r.Status.Version, r.Status.Userspace
	t.Addresses = append(t.Addresses, r.Status.Addresses...)
	names := d.view.naming()
	t.Warnings = append(t.Warnings, names.warnings(r.Status.Warnings)...)
	if !r.Status.KeyExpiry.IsZero() {
		t.KeyExpiresAt = &r.Status.KeyExpiry
	}
	if r.Err != nil {
		t.Trouble, t.LoginURL = names.words(r.Err), loginURL(r.Err)
	}
	return t
}

// warnings lists what is not seen from Status.Status alone.
func (d *daemon) warnings(s admin.Status, now time.Time) []string {
	warnings := []string{}
	if s.Trouble != "" {
		warnings = append(warnings, s.Trouble)
	}
	if s.Tailnet.Trouble != "" {
		warnings = append(warnings, s.Tailnet.Trouble)
	}
	if r := d.view.tailnetReport(); r != nil && s.Tailnet.Status != "disabled" {
		if soon := r.Status.ExpiryWarning(now); soon != "" {
			warnings = append(warnings, soon)
		}
	}
	for _, text := range s.Tailnet.Warnings {
		warnings = append(warnings, "tailscaled warns: "+text+"; see `tailscale status`")
	}
	warnings = append(warnings, connectionWarnings(s.Connections)...)
	warnings = append(warnings, d.view.config().Warnings()...)
	if s.LastReload != nil && !s.LastReload.OK {
		warnings = append(warnings, "the last reload was refused and the configuration before it is in force: "+
			s.LastReload.Error+"; run `oauth-proxyd check`, then `oauth-proxyd reload`")
	}
	if why := d.view.upgrade.Load(); why != nil {
		warnings = append(warnings, "the last upgrade failed and this process keeps running: "+*why+
			"; see `journalctl -u oauth-proxyd`, then run `oauth-proxyd upgrade`")
	}
	return slices.Compact(warnings)
}

// connectionWarnings are for bounds that are nearly reached.
func connectionWarnings(c inbound.ConnectionStats) []string {
	const near = 0.9
	var warnings []string
	if float64(c.Admitted) >= near*float64(c.AdmittedLimit) && c.AdmittedLimit > 0 {
		warnings = append(warnings, fmt.Sprintf(
			"%d of %d connections of admitted clients are open, and the longest idle are closed for new ones; see `oauth-proxyd requests`",
			c.Admitted, c.AdmittedLimit))
	}
	if float64(c.Strangers) >= near*float64(c.StrangersLimit) && c.StrangersLimit > 0 {
		warnings = append(warnings, fmt.Sprintf(
			"%d of %d connections are open on which nothing was admitted; see who is refused: `journalctl -u oauth-proxyd OUTCOME=access_denied`",
			c.Strangers, c.StrangersLimit))
	}
	return warnings
}

// socketStatuses names the sockets for the view.
func socketStatuses(listeners []inbound.Listener) []admin.SocketStatus {
	sockets := make([]admin.SocketStatus, 0, len(listeners))
	for _, l := range listeners {
		sockets = append(sockets, admin.SocketStatus{Name: l.Name, Network: l.Addr().Network(), Address: l.Addr().String()})
	}
	return sockets
}
