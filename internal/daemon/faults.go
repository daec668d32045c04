package daemon

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
)

// faults lists what an operator should look at, the most urgent first. "oauth-proxyd status" shows
// it as warnings. A fault is one sentence that ends in how to fix it; empty: there is none. Each is
// kept by the part that notices it, and some are shown elsewhere too:
//
//	fault                         kept in                  also shown
//	a socket is not passed        sockets.MissingUnit      trouble, /health, STATUS=
//	a reload was refused          view.reload              last_reload, /health, STATUS=, a metric
//	an upgrade failed             view.upgradeFault        STATUS=
//	the tailnet is not connected  view.tailnet             tailnet.trouble, STATUS=, a metric
//	no request succeeds           proxy.Stats              failing
//	the node key expires          view.tailnet             /health, a metric
//	tailscaled warns              view.tailnet             tailnet.warnings, /health, a metric
//	the textfile is not written   textfile.failure         a metric
//	log records are lost          logging.Log              a metric
//	connections run out           inbound.ConnectionStats  metrics
//	the upstream or requests      proxy.Proxy
//	the configuration             config.Config            the log, outcome of a reload
//
// How the previous process ended (restarted) is over, and no fault.
func (d *daemon) faults(v *view, s admin.Status, now time.Time) []string {
	all := []string{s.Trouble, d.reloadFault(v, false), v.upgradeFault, s.Tailnet.Trouble, s.Failing}
	if v.state.TailnetRequired() {
		all = append(all, v.tailnet.Status.ExpiryWarning())
	}
	for _, text := range s.Tailnet.Warnings {
		all = append(all, "tailscaled warns: "+text+"; see `tailscale status`")
	}
	if failure := d.textfile.failure.Load(); failure != nil {
		all = append(all, *failure)
	}
	if n := d.logs.Missing(); n > 0 {
		all = append(all, fmt.Sprintf("the log cannot be written, and %d records are lost; see `systemctl status systemd-journald` and `df -h`", n))
	}
	c := s.Connections
	all = append(all,
		connectionFault(c.Admitted, c.AdmittedLimit, "connections of admitted clients are open, and the longest idle ones are closed for new ones; see `oauth-proxyd requests`"),
		connectionFault(c.Strangers, c.StrangersLimit, "connections without an admitted request are open; see who is refused: "+d.logLines("outcome", "access_denied")))
	all = append(all, v.proxy.Warnings(now)...)
	all = append(all, d.configWarnings(v.config)...)
	return slices.Compact(withoutEmpty(all))
}

func withoutEmpty(all []string) []string {
	return slices.DeleteFunc(all, func(text string) bool { return text == "" })
}

// reloadFault leaves the reason out of a public text. Every local user can read the line of
// systemctl status, so it has nothing of the configuration.
func (d *daemon) reloadFault(v *view, public bool) string {
	if v.reload == nil || v.reload.OK {
		return ""
	}
	reason := ": " + v.reload.Error
	if public {
		reason = ""
	}
	return "the last reload was refused and the previous configuration is still active" + reason +
		"; run `" + d.options.CheckCommand + "`, then `oauth-proxyd reload`"
}

// connectionFault says that nine tenths of a bound are open.
func connectionFault(open, limit int, text string) string {
	if limit == 0 || open*10 < limit*9 {
		return ""
	}
	return fmt.Sprintf("%d of %d %s", open, limit, text)
}

// configWarnings lists the settings that are valid but do not do what they say.
func (d *daemon) configWarnings(c *config.Config) []string {
	all, names := c.Warnings(), d.sockets.names()
	for _, h := range c.Headers {
		if name := h.When.Listener; name != "" && !slices.Contains(names, name) {
			all = append(all, fmt.Sprintf("header %q: no socket is named %q (when { listener }), so the rule never applies; the names are: %s",
				strings.ToLower(h.Name), name, strings.Join(names, ", ")))
		}
	}
	if fitted, scale := d.fit(c.Proxy); scale < 1 || fitted.MaxConnections < c.Proxy.MaxConnections {
		all = append(all, fmt.Sprintf("the process may have only %d file descriptors, so %d requests may be in flight instead of %d, and %d may wait; raise LimitNOFILE= of oauth-proxyd.service, or `ulimit -n` where you start the daemon",
			d.maxFiles, fitted.MaxConnections, c.Proxy.MaxConnections, fitted.QueueLimit))
	}
	return all
}
