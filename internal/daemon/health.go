package daemon

import (
	"encoding/json"
	"net/http"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/proxy"
)

// healthOf returns the body of GET /health for clients that may send requests and whose Host names
// this node. Others see only the status: healthy, degraded or draining.
func healthOf(s admin.Status, now time.Time) map[string]any {
	ip := "" // not known
	if len(s.Tailnet.Addresses) > 0 {
		ip = s.Tailnet.Addresses[0].String()
	}
	return map[string]any{
		"status": s.Status, "state": s.State, "version": s.Version,
		"uptime_seconds":         int64(now.Sub(s.StartedAt).Seconds()),
		"trouble":                s.Trouble,
		"last_reload":            s.LastReload,   // null: none yet
		"predecessors":           s.Predecessors, // which finish what they had before an upgrade
		"in_flight":              s.Requests.InFlight,
		"queued":                 s.Requests.Queued,
		"requests_served":        s.Requests.Served,
		"errors_total":           s.Requests.Failed,
		"upstream_last_success":  known(s.Requests.LastSuccess), // null: not yet
		"tailnet":                s.Tailnet.Status,
		"tailnet_hostname":       s.Tailnet.Name,
		"tailnet_ip":             ip,
		"tailnet_backend_state":  s.Tailnet.BackendState,
		"tailnet_warnings":       s.Tailnet.Warnings,
		"tailnet_key_expires_at": s.Tailnet.KeyExpiresAt, // null: never, or not known
	}
}

func (d *daemon) serveHealth(p *proxy.Proxy, w http.ResponseWriter, r *http.Request) {
	v, now := d.view(), time.Now()
	status := d.healthWord(v)
	body := map[string]any{"status": status}
	switch _, err := p.Judge(r, v.config.Access.Allow); {
	case err != nil:
		w.Header().Set("Connection", "close") // a stranger keeps none
	case d.namesThisNode(r):
		body = healthOf(d.status(v, now), now)
	}
	proxy.NameResponse(w, r)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if status != "healthy" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(body) // the client may have left
}

// healthWord returns the status for load balancers.
func (d *daemon) healthWord(v *view) string {
	s := v.state
	switch {
	case s.Phase == lifecycle.Draining, s.Phase == lifecycle.Stopped:
		return "draining"
	case s.Tailnet == lifecycle.TailnetDown, s.Tailnet == lifecycle.TailnetUnknown, d.sockets.onlyLocal():
		return "degraded"
	default:
		return "healthy"
	}
}
