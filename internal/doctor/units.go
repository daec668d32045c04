package doctor

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/systemd"
)

const (
	serviceUnit = "oauth-proxyd.service"
	socketUnit  = "oauth-proxyd.socket"

	journalCommand = "journalctl -u oauth-proxyd -n 30"
)

// units holds the service and the sockets that start it.
type units struct {
	service, socket systemd.Unit
	others          []systemd.Unit // further sockets
	exits           systemd.Exits  // of the service, if it is starting
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
	if u.service.Active == "activating" && u.service.Ending() == "" {
		u.exits = systemd.RecentExits(ctx, serviceUnit)
	}
	if len(added) > 0 {
		u.others, err = systemd.ShowUnits(ctx, added...)
	}
	return u, err
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

// sockets returns all socket units.
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
	if x.daemon != nil && (shown.isStopped() || !isOurs(*x.daemon)) {
		x.units = units{}
		return []Finding{ok("%s is %s; process %d is another daemon", serviceUnit, shown.service.Active, x.daemon.PID)}
	}
	return []Finding{shown.judge()}
}

func (u units) judge() Finding {
	s, ending, lost := u.service, cmp.Or(u.service.Ending(), u.exits.Ending()), u.lostSockets()
	failed := slices.IndexFunc(u.others, func(o systemd.Unit) bool { return o.Active == "failed" })
	switch {
	case s.Load == "masked":
		return u.judgeMasked()
	case u.socket.Active == "failed": // nothing listens: that is first
		return u.judgeFailedSocket()
	case s.Active == "failed":
		return fail("%s stopped: %s", serviceUnit, ending).fix(u.fixEnding()...)
	case u.isRestarting() && ending != "":
		return fail("%s keeps restarting: %s", serviceUnit, ending).fix(u.fixEnding()...)
	case s.Active == "activating":
		return warn("%s is starting; clients wait until it serves", serviceUnit).
			fix("systemctl status "+serviceUnit+"   # is it still starting?", journalCommand)
	case failed >= 0:
		o := u.others[failed]
		return fail("%s failed (%s): nobody can connect there", o.Name, o.Result).
			fix("systemctl status "+o.Name, "systemctl restart "+serviceUnit)
	case len(lost) > 0:
		return lost[0]
	case u.socket.Load == "masked" && u.socket.Active != "active" && s.Active == "active":
		return warn("%s runs, and %s is masked: once it stops, nothing listens", serviceUnit, socketUnit).
			fix("systemctl unmask "+socketUnit, "systemctl restart "+serviceUnit)
	case u.socket.Load == "masked" && u.socket.Active != "active":
		return fail("%s is masked, and %s is not active", socketUnit, serviceUnit).
			fix("systemctl unmask "+socketUnit, "systemctl enable --now "+socketUnit)
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

// isRestarting reports whether the service starts, or ends for a reason that its ending says.
func (u units) isRestarting() bool {
	return u.service.Active == "activating" || u.service.Active == "deactivating" && u.service.MainPID == 0
}

// judgeFailedSocket reports a socket that systemd could not open, most often because another
// program has the port.
func (u units) judgeFailedSocket() Finding {
	f := fail("%s failed (%s)", socketUnit, u.socket.Result)
	then := "systemctl reset-failed " + socketUnit + " && systemctl start " + socketUnit
	if u.service.Active == "active" {
		f.Seen, then = f.Seen+", and "+serviceUnit+" runs without it", "systemctl restart "+serviceUnit
	}
	for _, address := range u.socket.Listen {
		f = f.fix(whoHas(portOf(address)))
	}
	return f.fix("systemctl status "+socketUnit, then)
}

// judgeMasked is about a masked service. systemd drops the NotifyAccess= of a masked unit, but not
// its WatchdogSec=.
func (u units) judgeMasked() Finding {
	f := fail("%s is masked", serviceUnit).fix("systemctl unmask " + serviceUnit)
	if u.service.Active == "active" {
		f.Seen += ": systemd ignores its watchdog pings, and kills it within 30 s"
	}
	return f
}

// isOurs reports whether the packaged unit may run the daemon, which an empty status leaves open.
func isOurs(s admin.Status) bool { return s.Service == serviceUnit || s.RestartWith == "" }

// Threats finds the units of this host that will end the running daemon or lose its sockets. It
// finds none for a daemon that another unit runs, or nobody.
func Threats(ctx context.Context, daemon admin.Status) []Finding {
	if !isOurs(daemon) {
		return nil
	}
	u := installedUnits(ctx)
	if u.service.Load == "masked" && u.service.Active == "active" {
		return []Finding{u.judgeMasked()}
	}
	return u.lostSockets()
}

func (u units) lostSockets() []Finding {
	var findings []Finding
	for _, s := range u.sockets() {
		if isLost(s) {
			findings = append(findings, u.judgeLost(s))
		}
	}
	return findings
}

// isLost reports whether the socket unit is active although systemd does not listen. Starting the
// unit does nothing then.
func isLost(socket systemd.Unit) bool {
	return socket.Active == "active" && (socket.Load == "masked" || len(socket.NotOpen) > 0)
}

// judgeLost returns only a warning while the service runs, which still has the sockets that it was
// passed when it started.
func (u units) judgeLost(socket systemd.Unit) Finding {
	judge, where, then := fail, "", "no client can connect"
	if u.service.Active == "active" {
		judge, then = warn, "a restart of "+serviceUnit+" loses the port"
	}
	if len(socket.NotOpen) > 0 {
		where = " on " + strings.Join(socket.NotOpen, ", ")
	}
	f := judge("%s is active, but systemd does not listen%s, because the unit was masked or changed while it was active: %s", socket.Name, where, then)
	if socket.Load == "masked" {
		f = f.fix("systemctl unmask " + socket.Name)
	}
	return f.fix(reopen(socket.Name))
}

// NotRunning says what systemd knows about a daemon that does not respond. The finding is OK if the
// first request starts the daemon, and nil if systemd knows nothing, or says that the daemon runs.
func NotRunning(ctx context.Context) *Finding { return installedUnits(ctx).notRunning() }

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
		if s.Active == "active" && !isLost(s) {
			all = append(all, s.Name+" listens on "+strings.Join(slices.Concat(s.Listen, s.Paths), ", "))
		}
	}
	return all
}

// start returns the command that starts the daemon on this host, or restarts it if it runs.
func (x *facts) start() string {
	serve := strings.TrimSuffix("oauth-proxyd serve --config "+x.File, " --config ")
	switch {
	case isLost(x.units.socket):
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
	code := u.service.ExitStatus
	if u.exits.Times > 0 {
		code = u.exits.Status
	}
	if setting := systemd.Setting(code); setting != "" {
		return []string{show + "   # see " + setting, journalCommand}
	}
	if failed, _, _ := strings.Cut(u.service.Failed, "/"); failed != "" {
		return []string{show + "   # see " + failed, journalCommand}
	}
	fixes := map[string][]string{
		"64": {show + "   # see ExecStart=: a flag or a command that does not exist?"},
		"78": {u.check(), "systemctl restart " + serviceUnit + "   # when check finds nothing"},
		"77": {"tailscale status   # does this node need a login or an approval?"},
	}
	return append(fixes[code], journalCommand)
}

// check returns the command that checks the file that the service reads.
func (u units) check() string {
	args := u.service.Args
	for i, arg := range args {
		if file, found := strings.CutPrefix(strings.TrimPrefix(arg, "-"), "-config="); found {
			return "oauth-proxyd check --config " + file
		}
		if (arg == "--config" || arg == "-config") && i+1 < len(args) {
			return "oauth-proxyd check --config " + args[i+1]
		}
	}
	return "oauth-proxyd check"
}
