package doctor

import (
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
)

// units are the service and the sockets that start it.
type units struct {
	service, socket systemd.Unit
	others          []systemd.Unit // further sockets
}

// installed: systemd is there and knows the service.
func (u units) installed() bool { return u.service.Load != "" && u.service.Load != "not-found" }

// waits: systemd listens, and starts the service for a client or is about to.
func (u units) waits() bool {
	return u.socket.Active == "active" && !isLost(u.socket) && u.service.Active != "active"
}

// isStopped reports whether the service has no process.
func (u units) isStopped() bool {
	return u.service.Active == "inactive" || u.service.Active == "failed"
}

// mayServe reports whether what responds on our port can be the service.
func (u units) mayServe() bool {
	return !u.installed() || u.service.Active == "active" || u.service.Active == "deactivating"
}

// start is the command that starts the daemon on this host.
func (x *facts) start() string {
	switch {
	case x.units.installed() && isLost(x.units.socket):
		return reopen(socketUnit)
	case x.units.service.Active == "active": // it runs, and cannot be reached
		return "systemctl restart oauth-proxyd"
	case x.units.installed() && x.units.socket.Load == "loaded":
		return "systemctl start oauth-proxyd.socket oauth-proxyd.service"
	case x.units.installed():
		return "systemctl start oauth-proxyd"
	default:
		return "oauth-proxyd serve --config " + x.File
	}
}

// restart is the command that restarts it.
func (x *facts) restart() string {
	switch {
	case x.units.installed():
		return "systemctl restart oauth-proxyd"
	case x.daemon == nil:
		return x.start()
	}
	return fmt.Sprintf("kill %d, then %s", x.daemon.PID, x.start())
}

// journal is where the daemon says why, if it is systemd's.
func (x *facts) journal() []string {
	if !x.units.installed() {
		return nil
	}
	return []string{"journalctl -u oauth-proxyd -n 30"}
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
		return nil // run by other means
	}
	if x.daemon != nil && shown.isStopped() {
		x.units = units{}
		return []Finding{ok("%s is stopped; process %d is another daemon", serviceUnit, x.daemon.PID)}
	}
	return []Finding{shown.judge()}
}

func (u units) judge() Finding {
	switch s := u.service; {
	case s.Load == "masked":
		return fail("%s is masked", serviceUnit).fix("systemctl unmask " + serviceUnit)
	case u.socket.Active == "failed" && s.Active != "active": // nothing listens: that is first
		return u.judgeFailedSocket("", "systemctl reset-failed "+socketUnit+" && systemctl start "+socketUnit)
	case s.Active == "failed":
		return fail("%s failed (%s, exit code %s)", serviceUnit, s.Result, s.ExitStatus).fix(fixExit(s.ExitStatus)...)
	case s.Active == "active":
		return u.judgeRunning()
	case s.Active == "activating" && s.ExitStatus != "0" && s.ExitStatus != "":
		return fail("%s keeps restarting; it last exited with code %s", serviceUnit, s.ExitStatus).fix(fixExit(s.ExitStatus)...)
	case s.Active == "activating":
		return warn("%s is starting; clients wait until it serves", serviceUnit).
			fix("systemctl status "+serviceUnit+"   # is it still starting?", "journalctl -u oauth-proxyd -n 30")
	case isLost(u.socket):
		return u.judgeLost(u.socket)
	case u.waits():
		return ok("%s is active, %s starts with the first request", socketUnit, serviceUnit)
	case u.socket.Load == "masked":
		return fail("%s is masked, and %s is not active", socketUnit, serviceUnit).
			fix("systemctl unmask "+socketUnit, "systemctl enable --now "+socketUnit)
	case u.socket.Load == "loaded":
		return fail("%s and %s are not active", socketUnit, serviceUnit).fix("systemctl enable --now " + socketUnit)
	default:
		return fail("%s is %s", serviceUnit, s.Active).fix("systemctl start " + serviceUnit)
	}
}

// judgeRunning looks for sockets that a service that runs should have.
func (u units) judgeRunning() Finding {
	restart := "systemctl restart " + serviceUnit
	switch {
	case u.socket.Active == "failed":
		return u.judgeFailedSocket(serviceUnit+" runs without it: ", restart)
	case u.socket.Load == "masked" && u.socket.Active != "active":
		return warn("%s runs, and %s is masked: once it stops, nothing listens", serviceUnit, socketUnit).
			fix("systemctl unmask "+socketUnit, restart)
	}
	for _, o := range u.others {
		if o.Active == "failed" {
			return fail("%s failed (%s), and %s runs without it", o.Name, o.Result, serviceUnit).fix("systemctl status "+o.Name, restart)
		}
	}
	if lost := u.lostSockets(); len(lost) > 0 {
		return lost[0]
	}
	return ok("%s is active", serviceUnit)
}

// LostSockets finds the socket units of this host that are active and for which systemd does not
// listen. It finds none where systemd, or its unit of the daemon, is not there.
func LostSockets(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, shortLimit)
	defer cancel()
	u, err := askUnits(ctx)
	if err != nil || !u.installed() {
		return nil
	}
	return u.lostSockets()
}

func (u units) lostSockets() []Finding {
	var findings []Finding
	for _, s := range append([]systemd.Unit{u.socket}, u.others...) {
		if isLost(s) {
			findings = append(findings, u.judgeLost(s))
		}
	}
	return findings
}

// isLost reports whether a start of the socket unit does nothing, because it is active, and systemd
// does not listen.
func isLost(socket systemd.Unit) bool {
	return socket.Active == "active" && (socket.Load == "masked" || len(socket.NotOpen) > 0)
}

// judgeLost is a warning while the service has the sockets that it was passed when it started.
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

// reopen is the command that makes systemd listen again: the start of an active unit does nothing,
// and a socket unit cannot be started while its service runs.
func reopen(socket string) string {
	return fmt.Sprintf("systemctl stop %s %s && systemctl start %s", serviceUnit, socket, socket)
}

// judgeFailedSocket is about a socket that systemd could not open, most often because another
// program has the port.
func (u units) judgeFailedSocket(so, then string) Finding {
	f := fail("%s%s failed (%s)", so, socketUnit, u.socket.Result)
	for _, address := range u.socket.Listen {
		f = f.fix(whoHas(portOf(admin.SocketStatus{Network: "tcp", Address: address})))
	}
	return f.fix("systemctl status "+socketUnit, then)
}

// whoHas is the command that shows which program has a port.
func whoHas(port uint16) string {
	return fmt.Sprintf("ss -ltnp 'sport = :%d'   # which program has the port?", port)
}

// fixExit is for the exit codes of serve.
func fixExit(code string) []string {
	journal := "journalctl -u oauth-proxyd -n 30"
	switch code {
	case "78":
		return []string{"oauth-proxyd check", journal, "systemctl restart " + serviceUnit + "   # when check finds nothing"}
	case "77":
		return []string{"tailscale login", journal}
	default:
		return []string{journal}
	}
}

// askUnits asks for the service and its socket, and for the sockets that were added; nothing is
// installed where systemd does not run.
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
	return u, err
}

func sortUnits(shown []systemd.Unit) units {
	var u units
	for i, s := range shown {
		switch i {
		case 0:
			u.service = s
		case 1:
			u.socket = s
		default:
			u.others = append(u.others, s)
		}
	}
	return u
}
