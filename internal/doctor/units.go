package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/systemd"
)

const (
	serviceUnit = systemd.ServiceUnit
	socketUnit  = systemd.SocketUnit

	journalCommand = "journalctl -u oauth-proxyd -n 30"

	lastEnd = "/var/lib/oauth-proxyd/last-end"
)

// units holds the service and the sockets that start it.
type units struct {
	service, socket systemd.Unit
	others          []systemd.Unit // further sockets
	free            []string       // TCP addresses of active sockets on which nothing listens
}

// askUnits asks systemd for the service, its socket, and the sockets that were added. Where systemd
// does not run, nothing is installed.
func askUnits(ctx context.Context) (units, error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil { // sd_booted(3)
		return units{}, nil
	}
	shown, err := systemd.ShowUnits(ctx, serviceUnit, socketUnit)
	if err != nil {
		return units{}, err
	}
	u := sortUnits(shown)
	added := slices.DeleteFunc(u.service.TriggeredBy, func(name string) bool { return name == socketUnit })
	if len(added) > 0 {
		u.others, err = systemd.ShowUnits(ctx, added...)
	}
	for _, s := range u.sockets() {
		if s.Active == "active" {
			u.free = append(u.free, slices.DeleteFunc(slices.Clone(s.Listen), func(address string) bool { return !isFree(address) })...)
		}
	}
	return u.withLastEnd(lastEnd), err
}

// isFree reports whether nothing listens on a TCP address. A connection would start the service.
func isFree(address string) bool {
	l, err := net.Listen("tcp", address)
	if err != nil { // in use, or this user may not have the port
		return false
	}
	_ = l.Close()
	return true
}

// withLastEnd adds how the service ended if a client has had systemd start it again, which forgets
// that. ExecStopPost= of the unit has written it to the file, which only root may read, and a start
// that succeeds removes it.
func (u units) withLastEnd(file string) units {
	const startsAgain = 10 * time.Second // a process that has run for longer is not one of a loop
	info, err := os.Stat(file)
	if err != nil || u.service.Active != "activating" || u.service.Ending() != "" || time.Since(info.ModTime()) > startsAgain {
		return u
	}
	result, status := systemd.LastEnd(file)
	u.service.Result, u.service.ExitStatus = result, cmp.Or(status, "0")
	return u
}

// installedUnits returns the units of this host. They are empty if systemd does not run, or does
// not know them.
func installedUnits(ctx context.Context) units {
	ctx, cancel := context.WithTimeout(ctx, shortLimit)
	defer cancel()
	u, err := askUnits(ctx)
	if err != nil || !u.installed() {
		return units{}
	}
	return u
}

// sortUnits takes the units in the order of the request to systemctl.
func sortUnits(shown []systemd.Unit) units {
	if len(shown) < 2 {
		shown = append(shown, systemd.Unit{}, systemd.Unit{})
	}
	return units{service: shown[0], socket: shown[1], others: shown[2:]}
}

func (u units) sockets() []systemd.Unit { return append([]systemd.Unit{u.socket}, u.others...) }

// installed reports whether systemd runs and knows the service.
func (u units) installed() bool { return u.service.Load != "" && u.service.Load != "not-found" }

// waits reports whether systemd listens and will start the service for a client.
func (u units) waits() bool {
	return len(u.listening()) > 0 && u.service.Active != "active"
}

// isStopped reports whether the service has no process.
func (u units) isStopped() bool {
	return u.service.Active == "inactive" || u.service.Active == "failed"
}

func checkUnits(ctx context.Context, x *facts) []Finding {
	ask := askUnits
	if x.systemd != nil {
		ask = x.systemd
	}
	shown, err := ask(ctx)
	if err != nil {
		return []Finding{unknown("systemctl did not show the state of the units: %v", err).fix("systemctl status " + serviceUnit)}
	}
	x.units = shown
	if !shown.installed() {
		return nil // something else runs the daemon
	}
	if x.daemon != nil && x.daemon.Service != serviceUnit {
		x.units = units{}
		return []Finding{ok("%s is %s; process %d is another daemon", serviceUnit, shown.service.Active, x.daemon.PID)}
	}
	return []Finding{shown.judge()}
}

// judge says what is wrong with the sockets, without which no client connects, or else how the
// service is.
func (u units) judge() Finding {
	s, ending := u.service, u.service.Ending()
	if s.Load == "masked" {
		f := fail("%s is masked", serviceUnit).fix("systemctl unmask " + serviceUnit)
		if s.Active == "active" { // systemd drops its NotifyAccess=, but not its WatchdogSec=
			f.Seen += ": systemd ignores its watchdog pings, and kills it within 30 s"
		}
		return f
	}
	for _, s := range u.sockets() {
		if f := u.judgeSocketUnit(s); f.Seen != "" {
			return f
		}
	}
	restarts := s.Active == "activating" || s.Active == "deactivating" && s.MainPID == 0
	switch {
	case s.Active == "failed":
		return fail("%s stopped: %s", serviceUnit, ending).fix(u.fixEnding()...)
	case restarts && ending != "":
		return fail("%s keeps restarting: %s", serviceUnit, ending).fix(u.fixEnding()...)
	case s.Active == "activating":
		return warn("%s is starting; clients wait until it serves", serviceUnit).
			fix("systemctl status "+serviceUnit+"   # is it still starting?", journalCommand)
	case s.Active == "active":
		return ok("%s is active", serviceUnit)
	case u.waits():
		return ok("%s; the first request starts it", strings.Join(u.listening(), ", "))
	case u.socket.Load == "loaded":
		return fail("%s and %s are not active", socketUnit, serviceUnit).fix("systemctl enable --now " + socketUnit)
	default:
		return fail("%s is %s", serviceUnit, s.Active).fix("systemctl start " + serviceUnit)
	}
}

// judgeSocketUnit reports a socket unit that does not listen, or that will not once the service
// stops. The finding is empty if there is none.
func (u units) judgeSocketUnit(s systemd.Unit) (f Finding) {
	runs := u.service.Active == "active"
	open := "systemctl enable --now " + s.Name
	if runs || s.Active == "active" {
		open = reopen(s.Name)
	}
	switch {
	case s.Load == "masked" && runs:
		return warn("%s is masked: once %s stops, nothing listens", s.Name, serviceUnit).fix("systemctl unmask "+s.Name, open)
	case s.Load == "masked":
		return fail("%s is masked, and %s is not active", s.Name, serviceUnit).fix("systemctl unmask "+s.Name, open)
	case u.isLost(s):
		return fail("%s is active, but systemd does not listen on %s, because the unit was masked or changed while it was active: no client can connect there",
			s.Name, strings.Join(u.lost(s), ", ")).fix(open)
	case s.Active != "failed":
		return f
	}
	f = fail("%s failed (%s)", s.Name, s.Result)
	then := "systemctl reset-failed " + s.Name + " && systemctl start " + s.Name
	if runs {
		f.Seen, then = f.Seen+", and "+serviceUnit+" runs without it", "systemctl restart "+serviceUnit
	}
	for _, address := range s.Listen {
		f = f.fix(whoHas(portOf(address)))
	}
	return f.fix("systemctl status "+s.Name, then)
}

// isLost reports whether a socket unit is active although systemd does not listen on one of its
// addresses: a unit that is masked, or has other addresses, loses its sockets in a daemon-reload.
// Starting the unit does nothing then.
func (u units) isLost(s systemd.Unit) bool {
	return s.Active == "active" && s.Load == "masked" || len(u.lost(s)) > 0
}

// lost returns the addresses of a socket unit on which nothing listens although it is active.
func (u units) lost(s systemd.Unit) []string {
	return slices.DeleteFunc(slices.Clone(s.Listen), func(address string) bool { return !slices.Contains(u.free, address) })
}

// notRunning says what systemd knows about a daemon that does not respond. The finding is OK if the
// first request starts the daemon, and nil if systemd knows nothing, or says that the daemon runs.
func (u units) notRunning() *Finding {
	found := u.judge()
	if s := u.service; !u.installed() || s.Active == "active" || s.Active == "activating" && found.Status != Fail {
		return nil
	}
	found.Seen = strings.TrimPrefix(found.Seen, serviceUnit+" ")
	return &found
}

// listening returns a text for each socket: on which addresses systemd listens for the daemon.
func (u units) listening() (all []string) {
	for _, s := range u.sockets() {
		if s.Active == "active" && !u.isLost(s) {
			all = append(all, s.Name+" listens on "+strings.Join(slices.Concat(s.Listen, s.Paths), ", "))
		}
	}
	return all
}

// start returns the command that starts the daemon on this host, or restarts it if it runs.
func (x *facts) start() string {
	serve := strings.TrimSuffix("oauth-proxyd serve --config "+x.File, " --config ")
	switch {
	case x.units.isLost(x.units.socket):
		return reopen(socketUnit)
	case x.units.socket.Load == "loaded" && x.units.socket.Active == "inactive" && x.units.isStopped():
		return "systemctl enable --now " + socketUnit
	case x.daemon != nil && x.daemon.RestartWith != "":
		return x.daemon.RestartWith
	case x.units.installed():
		return "systemctl restart oauth-proxyd"
	case x.pid() != 0:
		return fmt.Sprintf("kill %d, then %s", x.pid(), serve)
	}
	return serve
}

// reopen returns the command that makes systemd listen again. Starting an active unit does nothing,
// and a socket unit cannot be started while its service runs.
func reopen(socket string) string {
	return fmt.Sprintf("systemctl stop %s %s && systemctl start %s", serviceUnit, socket, socket)
}

// whoHas returns the command that shows which program has a port.
func whoHas(port uint16) string {
	return fmt.Sprintf("ss -ltnp 'sport = :%d'   # as root: which program has the port?", port)
}

// fixEnding returns what to do about how the service ended.
func (u units) fixEnding() []string {
	const show = "systemctl cat " + serviceUnit
	fixes := map[string][]string{
		"exit-code 0":   {show + "   # see ExecStartPre= and ExecStartPost="},
		"exit-code 64":  {show + "   # see ExecStart=: a flag or a command that does not exist?"},
		"exit-code 203": {show + "   # see ExecStart="},
		"exit-code 78": {
			"oauth-proxyd check   # with the --config of ExecStart=, if it has one",
			"systemctl restart " + serviceUnit + "   # when check finds nothing",
		},
		"exit-code 77": {"tailscale status   # does this node need a login or an approval?"},
	}
	return append(fixes[u.service.Result+" "+u.service.ExitStatus], journalCommand)
}
