package admin

import (
	"net/netip"
	"time"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/upstream"
)

// Status is what a running daemon shows to administrators only, because it may have the login URL,
// with which anyone can claim the node.
type Status struct {
	Status      string    `json:"status"`            // healthy, degraded, draining; idle: systemd starts it with the first request
	Trouble     string    `json:"trouble,omitempty"` // a socket that systemd did not pass, and how to fix it
	Failing     string    `json:"failing,omitempty"` // why it seems that no request succeeds, and what to do about it
	State       string    `json:"state"`             // of the state machine
	Version     string    `json:"version"`
	PID         int       `json:"pid"`
	StartedAt   time.Time `json:"started_at"`
	AdminSocket string    `json:"admin_socket"`
	Service     string    `json:"service"`      // the unit of the system's systemd that runs it; empty: none does
	RestartWith string    `json:"restart_with"` // the command that restarts it
	Log         string    `json:"log"`          // the command that shows its log; empty: no journal has it
	// Restarted says how the previous process ended; empty: as it should, or not known.
	Restarted string `json:"restarted,omitempty"`

	Tailnet  TailnetStatus  `json:"tailnet"`
	Sockets  []SocketStatus `json:"sockets"` // empty until it serves
	Requests RequestStatus  `json:"requests"`

	Connections inbound.ConnectionStats `json:"connections"`

	Upstream UpstreamStatus `json:"upstream"`
	// RecentErrors tells the errors of the upstream from ours, over 1m, 5m and 60m.
	RecentErrors map[string]proxy.RecentErrors `json:"recent_errors"`
	Slowest      *proxy.Trace                  `json:"slowest"`     // in flight, the longest silent; null: none is
	LastReload   *ReloadStatus                 `json:"last_reload"` // null: none yet
	// Predecessors finish what they had before an upgrade.
	Predecessors []Predecessor `json:"predecessors"`
	// Warnings lists all faults, each with how to fix it, the most urgent first.
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

// SocketStatus is a socket on which the daemon takes requests.
type SocketStatus struct {
	Name    string `json:"name"`
	Network string `json:"network"` // tcp or unix
	Address string `json:"address"`
}

// RequestStatus counts requests and says how they end.
type RequestStatus struct {
	proxy.Stats
	InFlightLimit int `json:"in_flight_limit"` // max_connections
	QueuedLimit   int `json:"queued_limit"`
	// Waiting lists the senders with queued requests, the one with most first.
	Waiting []WaitingStatus `json:"waiting"`
}

// WaitingStatus counts the requests that one person has in the queue.
type WaitingStatus struct {
	Name     string       `json:"name"` // as in the log; without one, the source
	Requests int          `json:"requests"`
	Longest  proxy.Millis `json:"longest_ms"`
	Next     bool         `json:"next"` // one of them gets the next slot
}

// UpstreamStatus is where requests go.
type UpstreamStatus struct {
	URL string `json:"url"`
	upstream.Route
}

// ReloadStatus is how the latest reload ended.
type ReloadStatus struct {
	At    time.Time `json:"at"`
	OK    bool      `json:"ok"`
	Error string    `json:"error,omitempty"`
	// Changed are the settings that it changed.
	Changed []string `json:"changed,omitempty"`
}

// Predecessor is a process that has handed over and finishes its requests.
type Predecessor struct {
	PID      int       `json:"pid"`
	Version  string    `json:"version"`
	Since    time.Time `json:"since"` // of the hand-over
	InFlight int       `json:"in_flight"`
}

// ReloadOutcome is how a reload ended, or would end.
type ReloadOutcome struct {
	// Applied reports that the new configuration is active, except for changes that need a restart.
	Applied bool `json:"applied"`
	// Changes between the current configuration and the new one.
	Changes []config.Change `json:"changes"`
	// Warnings are of the new one, where it was not refused.
	Warnings []string `json:"warnings,omitempty"`
	// Diagnostics say why the new one was refused.
	Diagnostics []config.Diagnostic `json:"diagnostics,omitempty"`
	// Error says why, if it was not the content.
	Error string `json:"error,omitempty"`
}

// Refused reports whether the new configuration has errors and the current one stays.
func (o ReloadOutcome) Refused() bool { return len(o.Diagnostics) > 0 || o.Error != "" }

// UpgradeOutcome is how an upgrade ended.
type UpgradeOutcome struct {
	// PID is the process that serves now; 0: the old one does.
	PID int `json:"pid,omitempty"`
	// Error says why the process that was asked keeps serving.
	Error string `json:"error,omitempty"`
}
