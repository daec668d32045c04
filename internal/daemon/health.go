package daemon

import (
	"encoding/json"
	"net/http"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/tailnet"
)

// health is the body of GET /health for those who may send requests, and name this node in
// their Host. Others are told healthStatus only.
type health struct {
	Status          string `json:"status"`
	Tailnet         string `json:"tailnet"`          // connected, not_connected or disabled
	TailnetHostname string `json:"tailnet_hostname"` // MagicDNS name, empty if not known
	TailnetIP       string `json:"tailnet_ip"`       // likewise
	UptimeSeconds   int64  `json:"uptime_seconds"`
	RequestsServed  uint64 `json:"requests_served"`
	ErrorsTotal     uint64 `json:"errors_total"`

	State               string              `json:"state"`
	TailnetBackendState string              `json:"tailnet_backend_state"`
	TailnetWarnings     []string            `json:"tailnet_warnings"`
	TailnetKeyExpiresAt *time.Time          `json:"tailnet_key_expires_at"` // null: never, or not known
	UpstreamLastSuccess *time.Time          `json:"upstream_last_success"`  // null: not yet
	InFlight            int                 `json:"in_flight"`
	Queued              int                 `json:"queued"`
	LastReload          *admin.ReloadStatus `json:"last_reload"` // null: none yet
	Version             string              `json:"version"`
	Trouble             string              `json:"trouble"` // what is wrong beside the tailnet, and how to fix it; empty: nothing

	Predecessors []admin.Predecessor `json:"predecessors"` // processes that finish what they had before an upgrade
}

// healthStatus is what everybody may know: healthy, degraded or draining.
type healthStatus struct {
	Status string `json:"status"`
}

// handler answers /health, /metrics and the requests of "oauth-proxyd doctor" here, and
// leaves the rest to the proxy. These are outside its limits and its queue.
func (d *daemon) handler(p *proxy.Proxy) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ours := r.Method == http.MethodGet || r.Method == http.MethodHead
		path := r.URL.EscapedPath() // another spelling is another path
		switch {
		case ours && path == "/health":
			inbound.LeaveBody(w, r)
			d.serveHealth(p, w, r)
		case ours && path == "/metrics":
			inbound.LeaveBody(w, r)
			d.serveMetrics(p, w, r)
		case d.serveProbe(p, w, r):
		default:
			p.ServeHTTP(w, r)
		}
	})
}

func (d *daemon) serveHealth(p *proxy.Proxy, w http.ResponseWriter, r *http.Request) {
	status := d.healthWord()
	var body any = healthStatus{status}
	switch _, err := p.Judge(r, d.view.config().Access.Allow); {
	case err != nil:
		w.Header().Set("Connection", "close") // a stranger keeps none
	case d.asksByOwnName(r):
		body = d.health(status, p.Stats())
	}
	proxy.NameResponse(w, r)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if status != "healthy" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(body) // a client that left is nobody to tell
}

// healthWord is what a load balancer asks for.
func (d *daemon) healthWord() string {
	s := d.view.lifecycle()
	switch {
	case s.Phase == lifecycle.Draining, s.Phase == lifecycle.Stopped:
		return "draining"
	case s.Tailnet == lifecycle.TailnetDown, s.Tailnet == lifecycle.TailnetUnknown, d.missesSocket():
		return "degraded"
	default:
		return "healthy"
	}
}

func (d *daemon) health(status string, stats proxy.Stats) health {
	s := d.view.lifecycle()
	h := health{
		Status: status, State: s.Phase.String(), Tailnet: tailnetWord(s.Tailnet), TailnetWarnings: []string{},
		UptimeSeconds:  int64(time.Since(d.started).Seconds()),
		RequestsServed: stats.Served, ErrorsTotal: stats.Failed, InFlight: stats.InFlight, Queued: stats.Queued,
		LastReload: d.view.reloaded(), Version: d.options.Version, Trouble: d.socketTrouble(),
		Predecessors: append([]admin.Predecessor{}, d.predecessors()...), // a list in JSON too
	}
	if !stats.LastSuccess.IsZero() {
		h.UpstreamLastSuccess = &stats.LastSuccess
	}
	if r := d.view.tailnetReport(); r != nil && s.TailnetRequired() {
		h.tailnet(r.Status, d.view.naming())
	}
	return h
}

func tailnetWord(t lifecycle.Tailnet) string {
	switch t {
	case lifecycle.TailnetUp:
		return "connected"
	case lifecycle.TailnetDisabled:
		return "disabled"
	default:
		return "not_connected"
	}
}

func (h *health) tailnet(s tailnet.Status, names naming) {
	h.TailnetHostname, h.TailnetBackendState = s.Name, s.Backend
	if len(s.Addresses) > 0 {
		h.TailnetIP = s.Addresses[0].String()
	}
	h.TailnetWarnings = append(h.TailnetWarnings, names.warnings(s.Warnings)...)
	if !s.KeyExpiry.IsZero() {
		h.TailnetKeyExpiresAt = &s.KeyExpiry
	}
}
