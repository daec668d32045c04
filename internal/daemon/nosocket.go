package daemon

import (
	"fmt"
	"slices"

	"oauth-proxyd/internal/inbound"
)

// missesSocket reports whether the unit's socket is missing and only what this process
// opened itself is served.
func (d *daemon) missesSocket() bool {
	return d.socketUnit != "" && !d.hasOthers
}

// noteSocketUnit keeps the name of a socket unit that passed no socket.
func (d *daemon) noteSocketUnit(unit string) {
	d.socketUnit = unit
	isOurs := func(l inbound.Listener) bool { return l.Name == ownListener }
	d.hasOthers = len(d.inherited) > 0 && !slices.ContainsFunc(d.inherited, isOurs)
}

// socketTrouble says that the unit's socket is missing, and how to fix it; "" if it is not.
// A load balancer and the tailnet do not get in then.
func (d *daemon) socketTrouble() string {
	switch {
	case d.socketUnit == "":
		return ""
	case d.hasOthers:
		return fmt.Sprintf("systemd passed no socket named %q: %s is not there, or its FileDescriptorName= is another; see `systemctl status %s`",
			ownListener, d.socketUnit, d.socketUnit)
	}
	return fmt.Sprintf("systemd started this service without %s, so only %s (proxy.listen_addr) is served; "+
		"fix %s (`systemctl status %s` says what is wrong), then run `systemctl stop oauth-proxyd.service %s && systemctl start %s`",
		d.socketUnit, d.view.config().Proxy.ListenAddr, d.socketUnit, d.socketUnit, d.socketUnit, d.socketUnit)
}
