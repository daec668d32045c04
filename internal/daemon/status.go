package daemon

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/tailnet"
)

// status is the line that systemctl status shows.
func (d *daemon) status() string {
	switch d.state.Phase {
	case lifecycle.Initializing:
		return "Reading the configuration"
	case lifecycle.ConnectingTailnet:
		return "Connecting to the tailnet"
	case lifecycle.Error:
		return fmt.Sprintf("Retry %d of %d of the tailnet is due: %s", d.state.Retries, lifecycle.MaxRetries, d.tailnetTrouble())
	case lifecycle.Starting:
		return "Opening the listeners"
	case lifecycle.Running:
		return d.runningStatus()
	case lifecycle.HandingOver:
		return "Handed over: finishing what is in flight"
	case lifecycle.Draining:
		return d.drainingStatus()
	default:
		return d.stoppedStatus()
	}
}

func (d *daemon) runningStatus() string {
	addresses := make([]string, 0, len(d.listeners))
	for _, l := range d.listeners {
		addresses = append(addresses, l.Addr().String())
	}
	serving := "Serving on " + strings.Join(addresses, ", ")
	if trouble := d.socketTrouble(); trouble != "" {
		serving += "; " + trouble
	}
	if r := d.view.reloaded(); r != nil && !r.OK {
		serving += "; the last reload was refused, the configuration before it is in force"
	}
	if why := d.view.upgrade.Load(); why != nil {
		serving += "; the last upgrade failed: " + *why
	}
	switch d.state.Tailnet {
	case lifecycle.TailnetUp:
		return serving + "; tailnet connected" + d.tailnetName()
	case lifecycle.TailnetDisabled:
		return serving + "; no tailnet required"
	case lifecycle.TailnetUnknown:
		return serving + "; asking for the state of the tailnet"
	default:
		return serving + "; only local, tailnet not connected: " + d.tailnetTrouble()
	}
}

func (d *daemon) drainingStatus() string {
	if d.state.ExitCode != lifecycle.ExitOK {
		return "A listener failed; finishing what is in flight, to be started anew"
	}
	return "Draining: no new connections, finishing what is in flight"
}

func (d *daemon) tailnetName() string {
	r := d.view.tailnetReport()
	if r == nil || r.Status.Name == "" {
		return ""
	}
	return " as " + r.Status.Name
}

// tailnetTrouble says what mends it.
func (d *daemon) tailnetTrouble() string {
	r := d.view.tailnetReport()
	if r == nil || r.Err == nil {
		return "not known yet"
	}
	return d.view.naming().words(r.Err)
}

func (d *daemon) stoppedStatus() string {
	switch d.state.ExitCode {
	case lifecycle.ExitOK:
		return "Stopped"
	case lifecycle.ExitDrainCut:
		return "Stopped; requests in flight were cut when the drain's time was over"
	case lifecycle.ExitNoPerm, lifecycle.ExitUnavailable:
		return "Gave up: " + d.tailnetTrouble()
	case lifecycle.ExitConfig:
		return "The configuration is refused; run: oauth-proxyd check"
	default:
		return "Failed; the journal has the reason"
	}
}

// lastWords logs why the loop ended, and what mends it.
func (d *daemon) lastWords(code int) {
	if d.predecessor != nil && !d.owner {
		d.predecessor.GiveUp(d.stoppedStatus())
	}
	uptime := time.Since(d.started).Round(time.Millisecond)
	switch code {
	case lifecycle.ExitOK:
		d.log.Info("stopped", "uptime", uptime)
	case lifecycle.ExitDrainCut:
		d.log.Warn(d.stoppedStatus(), "uptime", uptime, "exit_code", code, "streams_cut", d.streamsCut())
	default:
		d.log.Error(d.stoppedStatus(), "exit_code", code)
	}
}

// streamsCut are those that the drain of this process cut.
func (d *daemon) streamsCut() uint64 {
	if d.proxy == nil { // it never served
		return 0
	}
	return d.proxy.Stats().CutByDrain
}

// loginURL is where a person can log this node in, if tailscaled told.
func loginURL(err error) string {
	if e, ok := errors.AsType[*tailnet.Error](err); ok {
		return e.AuthURL
	}
	return ""
}
