package admin

import "oauth-proxyd/internal/config"

// ReloadOutcome is how a reload ended, or would end.
type ReloadOutcome struct {
	// Applied: the new configuration is in force, apart from NeedsRestart.
	Applied bool `json:"applied"`
	// Changes between the configuration in force and the new one.
	Changes []config.Change `json:"changes"`
	// Warnings are of the new one, where it was not refused.
	Warnings []string `json:"warnings,omitempty"`
	// Diagnostics say why the new one was refused.
	Diagnostics []config.Diagnostic `json:"diagnostics,omitempty"`
	// Error says the same where it is not about the content.
	Error string `json:"error,omitempty"`
}

// Refused reports whether the configuration in force stays for a fault of the new.
func (o ReloadOutcome) Refused() bool { return len(o.Diagnostics) > 0 || o.Error != "" }

// UpgradeOutcome is how an upgrade ended.
type UpgradeOutcome struct {
	// PID is of the process that serves now; 0: this one still does.
	PID int `json:"pid,omitempty"`
	// Error says why this process keeps running.
	Error string `json:"error,omitempty"`
}
