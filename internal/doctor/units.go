package doctor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	serviceUnit = "oauth-proxyd.service"
	socketUnit  = "oauth-proxyd.socket"
)

// unit is what systemd says of a unit (systemctl(1), show).
type unit struct {
	loaded string // not-found, loaded, masked, …
	active string // active, inactive, failed, …
	exit   string // status of the last process
	result string
	listen []string // addresses of a socket
}

type units struct{ service, socket unit }

// installed: systemd is there and knows the service.
func (u units) installed() bool { return u.service.loaded != "" && u.service.loaded != "not-found" }

// waits: systemd listens and starts the service for the first client.
func (u units) waits() bool {
	return u.socket.active == "active" && u.service.active != "active" && u.service.active != "activating"
}

// start is the command that starts the daemon on this host.
func (x *exam) start() string {
	switch {
	case x.units.installed() && x.units.socket.loaded == "loaded":
		return "systemctl start oauth-proxyd.socket oauth-proxyd.service"
	case x.units.installed():
		return "systemctl start oauth-proxyd"
	default:
		return "oauth-proxyd serve --config " + x.File
	}
}

// restart is the command that starts it anew.
func (x *exam) restart() string {
	if x.units.installed() || x.daemon == nil {
		return "systemctl restart oauth-proxyd"
	}
	return fmt.Sprintf("kill %d, then %s", x.daemon.PID, x.start())
}

// journal is where the daemon says why, if it is systemd's.
func (x *exam) journal() []string {
	if !x.units.installed() {
		return nil
	}
	return []string{"journalctl -u oauth-proxyd -n 30"}
}

func checkUnits(ctx context.Context, x *exam) []Finding {
	if _, err := os.Stat("/run/systemd/system"); err != nil { // sd_booted(3)
		return nil
	}
	shown, err := showUnits(ctx)
	if err != nil {
		return []Finding{unknown("systemctl does not say how the units are: %v", err).mend("systemctl status " + serviceUnit)}
	}
	x.units = shown
	if !shown.installed() {
		return nil // run by other means
	}
	return []Finding{shown.judge()}
}

func (u units) judge() Finding {
	switch s := u.service; {
	case s.loaded == "masked":
		return fail("%s is masked", serviceUnit).mend("systemctl unmask " + serviceUnit)
	case s.active == "failed":
		return fail("%s failed (%s, exit code %s)", serviceUnit, s.result, s.exit).mend(mendExit(s.exit)...)
	case s.active == "active":
		return ok("%s is active", serviceUnit)
	case s.active == "activating" && s.exit != "0" && s.exit != "":
		return fail("%s is started again and again; it ended with exit code %s", serviceUnit, s.exit).mend(mendExit(s.exit)...)
	case u.socket.active == "failed":
		return fail("%s failed (%s)", socketUnit, u.socket.result).mend("systemctl reset-failed "+socketUnit, "systemctl start "+socketUnit)
	case u.waits():
		return ok("%s is active, %s starts with the first request", socketUnit, serviceUnit)
	case u.socket.loaded == "loaded":
		return fail("%s and %s are not active", socketUnit, serviceUnit).mend("systemctl enable --now " + socketUnit)
	default:
		return fail("%s is %s", serviceUnit, s.active).mend("systemctl start " + serviceUnit)
	}
}

// mendExit is for the exit codes of serve.
func mendExit(code string) []string {
	journal := "journalctl -u oauth-proxyd -n 30"
	switch code {
	case "78":
		return []string{"oauth-proxyd check", journal}
	case "77":
		return []string{"tailscale login", journal}
	default:
		return []string{journal}
	}
}

func showUnits(ctx context.Context) (units, error) {
	c := exec.CommandContext(ctx, "systemctl", "show", "--no-pager",
		"--property=LoadState,ActiveState,Result,ExecMainStatus,Listen", serviceUnit, socketUnit)
	c.WaitDelay = time.Second
	out, err := c.Output()
	if err != nil {
		return units{}, err
	}
	return parseUnits(string(out)), nil
}

// parseUnits reads what systemctl shows of the service and of the socket, in the order
// in which it was asked.
func parseUnits(shown string) units {
	service, socket, _ := strings.Cut(shown, "\n\n")
	return units{parseUnit(service), parseUnit(socket)}
}

func parseUnit(text string) unit {
	var u unit
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "LoadState":
			u.loaded = value
		case "ActiveState":
			u.active = value
		case "Result":
			u.result = value
		case "ExecMainStatus":
			u.exit = value
		case "Listen":
			address, kind, _ := strings.Cut(value, " ")
			if kind == "(Stream)" && strings.Contains(address, ":") {
				u.listen = append(u.listen, address)
			}
		}
	}
	return u
}
