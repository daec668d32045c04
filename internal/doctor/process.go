package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"oauth-proxyd/internal/admin"
)

// Unavailable says why the daemon could not be asked, and how to fix it. The finding is OK if the
// first request starts the daemon, and nil if the error says all that is known.
func Unavailable(ctx context.Context, err error) *Finding {
	x := &facts{units: installedUnits(ctx), daemonErr: err}
	down, isDown := errors.AsType[*admin.NotRunningError](err)
	switch {
	case isDown && down.OfSystem:
		return x.units.notRunning()
	case x.pid() != 0:
		f := x.stuck(fail("%v", err))
		return &f
	}
	return nil
}

// openAgain returns what opens the admin socket again. A reload does, where its directory is there.
func (x *facts) openAgain(socket string) []string {
	reload := fmt.Sprintf("kill -HUP PID   # a reload, which cuts no stream; as root, ss -ltnp 'sport = :%d' shows the PID", x.port())
	if x.units.installed() {
		reload = "systemctl kill --signal=HUP --kill-who=main oauth-proxyd   # a reload, which cuts no stream"
	}
	directory := filepath.Dir(socket)
	_, err := os.Stat(directory)
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return []string{reload}
	case x.units.installed():
		return []string{x.start() + "   # systemd makes " + directory + " again"}
	}
	return []string{"mkdir -p " + directory, reload}
}

// pid returns the process that has the admin socket, or 0 if it is not known.
func (x *facts) pid() int {
	if x.daemon != nil {
		return x.daemon.PID
	}
	if silent, is := errors.AsType[*admin.SilentError](x.daemonErr); is {
		return silent.PID
	}
	return 0
}

// stuck adds the cause, if /proc shows it, and the fix to a finding about a daemon that does not
// respond.
func (x *facts) stuck(f Finding) Finding {
	pid := x.pid()
	_, state, _ := strings.Cut(procText(pid, "stat"), ") ") // proc_pid_stat(5)
	switch {
	case strings.HasPrefix(state, "T"):
		f.Seen += fmt.Sprintf(": process %d is stopped by a signal", pid)
		return f.fix(fmt.Sprintf("kill -CONT %d", pid))
	case x.daemon == nil && pid != 0:
		f.Seen += fmt.Sprintf(": it is process %d", pid)
	}
	f = f.fix(x.start())
	if x.units.installed() {
		return f.fix(journalCommand)
	}
	return f
}

// procText returns a file of proc(5) about a process, or "" if that has ended.
func procText(pid int, name string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	return string(text)
}
