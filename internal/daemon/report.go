package daemon

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/proxy"
)

// Status is what a running daemon tells an administrator, on the admin socket alone:
// it may hold the login URL, with which anybody can claim the node.
type Status struct {
	Status        string    `json:"status"`            // healthy, degraded or draining
	Trouble       string    `json:"trouble,omitempty"` // what is wrong beside the tailnet
	State         string    `json:"state"`             // of the state machine
	Version       string    `json:"version"`
	PID           int       `json:"pid"`
	StartedAt     time.Time `json:"started_at"`
	UptimeSeconds int64     `json:"uptime_seconds"`

	Tailnet  TailnetStatus  `json:"tailnet"`
	Sockets  []SocketStatus `json:"sockets"` // empty until it serves
	Requests RequestStatus  `json:"requests"`
	Limits   LimitStatus    `json:"limits"`

	Connections inbound.ConnectionStats `json:"connections"`

	Upstream   UpstreamStatus `json:"upstream"`
	Senders    []SenderStatus `json:"senders"`     // of the last quarter of an hour, the busiest first
	Slowest    *proxy.Trace   `json:"slowest"`     // in flight, the longest silent; null: none is
	LastReload *ReloadStatus  `json:"last_reload"` // null: none yet
	// Predecessors finish what they had before an upgrade.
	Predecessors []Predecessor `json:"predecessors"`
	// Warnings are what somebody should look at, each with what mends it.
	Warnings []string `json:"warnings"`
}

// TailnetStatus is what the daemon knows of its tailnet.
type TailnetStatus struct {
	Status       string       `json:"status"` // connected, not_connected or disabled
	Trouble      string       `json:"trouble,omitempty"`
	Name         string       `json:"name"`
	Addresses    []netip.Addr `json:"addresses"`
	BackendState string       `json:"backend_state"`
	KeyExpiresAt *time.Time   `json:"key_expires_at"` // null: never, or not known
	Warnings     []string     `json:"warnings"`       // tailscaled's
	LoginURL     string       `json:"login_url,omitempty"`
	Userspace    bool         `json:"userspace"` // tailscaled runs without a network device
	Version      string       `json:"version"`   // tailscaled's
}

// SocketStatus is a socket on which requests are taken.
type SocketStatus struct {
	Name    string `json:"name"`
	Network string `json:"network"` // tcp or unix
	Address string `json:"address"`
}

// RequestStatus counts requests: those of now, and those since the start.
type RequestStatus struct {
	InFlight int    `json:"in_flight"`
	Queued   int    `json:"queued"`
	Served   uint64 `json:"served"`
	Failed   uint64 `json:"failed"`
}

// LimitStatus is the limits in force.
type LimitStatus struct {
	MaxConnections          int   `json:"max_connections"`
	MaxConnectionsPerClient int   `json:"max_connections_per_client"` // 0: none
	QueueLimit              int   `json:"queue_limit"`
	MaxRequestBody          int64 `json:"max_request_body"` // bytes
}

// SenderStatus is how much somebody uses the daemon. Who it is, is said as in the log.
type SenderStatus struct {
	Sender   string `json:"sender"` // node, or local, proxied or other
	InFlight int    `json:"in_flight"`
	Ended    int    `json:"ended"`  // of the last requests that are remembered
	Failed   int    `json:"failed"` // of those: without a whole answer below 500
}

// UpstreamStatus is where requests go.
type UpstreamStatus struct {
	URL         string     `json:"url"`
	Proxy       string     `json:"proxy"`        // host and port of the HTTP CONNECT proxy in use; empty: none
	Since       *time.Time `json:"since"`        // when that way was first used; null: not yet
	Connections int        `json:"connections"`  // open, idle ones included
	LastSuccess *time.Time `json:"last_success"` // null: not yet
}

// ReloadStatus is how the latest reload ended.
type ReloadStatus = lastReload

func (d *daemon) adminStatus(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, d.report(time.Now()))
}

// report may be called from anywhere: it looks at the view only.
func (d *daemon) report(now time.Time) Status {
	c, stats := d.view.config(), d.view.served()
	s := Status{
		Status: d.healthWord(), Trouble: d.socketTrouble(), State: d.view.lifecycle().Phase.String(),
		Version: d.options.Version, PID: os.Getpid(),
		StartedAt: d.started.UTC(), UptimeSeconds: int64(now.Sub(d.started).Seconds()),
		Sockets: d.view.sockets(),
		Requests: RequestStatus{
			InFlight: stats.InFlight, Queued: stats.Queued, Served: stats.Served, Failed: stats.Failed,
		},
		Limits: LimitStatus{
			MaxConnections: c.Proxy.MaxConnections, MaxConnectionsPerClient: c.Proxy.MaxConnectionsPerClient,
			QueueLimit: c.Proxy.QueueLimit, MaxRequestBody: c.Proxy.MaxRequestBody,
		},
		Connections: d.view.connections(),
		Upstream:    d.view.upstream(),
		LastReload:  d.view.reloaded(), Predecessors: append([]Predecessor{}, d.predecessors()...), // a list in JSON too
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

func senders(inFlight, ended []proxy.Trace, now time.Time) []SenderStatus {
	all := map[string]*SenderStatus{}
	of := func(t proxy.Trace) *SenderStatus {
		name := cmp.Or(t.Node, string(t.Source), "not judged yet")
		if all[name] == nil {
			all[name] = &SenderStatus{Sender: name}
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
	sorted := make([]SenderStatus, 0, len(all))
	for _, s := range all {
		sorted = append(sorted, *s)
	}
	slices.SortFunc(sorted, func(a, b SenderStatus) int {
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

func (d *daemon) tailnetStatus() TailnetStatus {
	state := d.view.lifecycle()
	t := TailnetStatus{Status: tailnetWord(state.Tailnet), Addresses: []netip.Addr{}, Warnings: []string{}}
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
func (d *daemon) warnings(s Status, now time.Time) []string {
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
func socketStatuses(listeners []inbound.Listener) []SocketStatus {
	sockets := make([]SocketStatus, 0, len(listeners))
	for _, l := range listeners {
		sockets = append(sockets, SocketStatus{Name: l.Name, Network: l.Addr().Network(), Address: l.Addr().String()})
	}
	return sockets
}
