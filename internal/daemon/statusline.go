package daemon

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"oauth-proxyd/internal/lifecycle"
)

// statusLine returns the line that systemctl status shows.
func (d *daemon) statusLine() string {
	v := d.view()
	switch v.state.Phase {
	case lifecycle.Retrying:
		return fmt.Sprintf("Waiting to retry the tailnet (%d of %d): %s", v.state.Retries, lifecycle.MaxRetries, v.tailnetTrouble())
	case lifecycle.Running:
		if v.state.Change == lifecycle.Reloading {
			return "Reloading the configuration"
		}
		return d.servingLine(v)
	case lifecycle.Stopped:
		return d.stoppedLine(v)
	}
	return map[lifecycle.Phase]string{
		lifecycle.Initializing:      "Reading the configuration",
		lifecycle.ConnectingTailnet: "Connecting to the tailnet",
		lifecycle.Starting:          "Opening the listeners",
		lifecycle.HandingOver:       "Handed over: finishing open requests",
		lifecycle.Draining:          "Draining: no new connections, finishing open requests",
	}[v.state.Phase]
}

func (d *daemon) servingLine(v *view) string {
	addresses := make([]string, 0, len(v.serving))
	for _, l := range v.serving {
		addresses = append(addresses, l.Addr().String())
	}
	parts := []string{ // what comes last may be cut
		"Serving on " + strings.Join(addresses, ", "), d.sockets.trouble(v.config.Proxy.ListenAddr), tailnetLine(v),
		d.reloadFault(v, true), v.upgradeFault,
	}
	return strings.Join(withoutEmpty(parts), "; ")
}

func tailnetLine(v *view) string {
	t := tailnetStatus(v)
	switch t.Status {
	case "connected":
		return "tailnet connected as " + t.Name
	case "disabled":
		return "tailnet not required"
	default:
		return "local clients only, tailnet not connected: " + v.tailnetTrouble()
	}
}

// tailnetTrouble says why the tailnet is not connected, and how to fix it.
func (v *view) tailnetTrouble() string { return cmp.Or(tailnetStatus(v).Trouble, "not known yet") }

func (d *daemon) stoppedLine(v *view) string {
	switch v.state.ExitCode {
	case lifecycle.ExitOK:
		return "Stopped"
	case lifecycle.ExitDrainCut:
		return "Stopped; requests in flight were cut, at the end of drain_timeout or by a second signal"
	case lifecycle.ExitNoPerm, lifecycle.ExitUnavailable:
		return "Gave up: " + v.tailnetTrouble()
	case lifecycle.ExitConfig:
		return "The configuration is refused; run: " + d.options.CheckCommand
	default:
		return "Failed; the log has the error"
	}
}

// logEnd logs why the process exits, and tells a predecessor that waits for it.
func (d *daemon) logEnd() {
	v := d.view()
	code := v.state.ExitCode
	if d.role == candidate {
		d.sockets.Predecessor.Fail(d.stoppedLine(v))
	}
	uptime := time.Since(d.started).Round(time.Millisecond)
	switch code {
	case lifecycle.ExitOK:
		d.log.Info("stopped", "uptime", uptime)
	case lifecycle.ExitDrainCut:
		d.log.Warn(d.stoppedLine(v), "uptime", uptime, "exit_code", code, "streams_cut", v.proxy.Stats().CutByDrain)
	default:
		d.log.Error(d.stoppedLine(v), "exit_code", code)
	}
}
