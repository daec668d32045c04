package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"oauth-proxyd/internal/admin"
)

// Silent says why a daemon with an admin socket does not respond, and how to fix it.
func Silent(ctx context.Context, err *admin.SilentError) Finding {
	x := &facts{units: installedUnits(ctx), daemonErr: err}
	return x.stuck(fail("%v", err))
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
	pid, used := x.pid(), x.descriptorsUsedUp()
	_, state, _ := strings.Cut(procText(pid, "stat"), ") ") // proc_pid_stat(5)
	switch {
	case strings.HasPrefix(state, "T"):
		f.Seen += fmt.Sprintf(": process %d is stopped by a signal", pid)
		return f.fix(fmt.Sprintf("kill -CONT %d", pid))
	case used.Seen != "":
		f.Seen += ": " + used.Seen
		return f.fix(used.Fix...)
	case x.daemon == nil && pid != 0:
		f.Seen += fmt.Sprintf(": it is process %d, %q", pid, strings.TrimSpace(procText(pid, "comm")))
	}
	if f = f.fix(x.start()); x.units.installed() {
		return f.fix(journalCommand)
	}
	return f
}

// descriptorsUsedUp reports that the daemon has nearly all of its descriptors open. The finding is
// empty if it has not, or if this user may not see them.
func (x *facts) descriptorsUsedUp() (f Finding) {
	const spare = 4 // a connection frees its own when its client gives up
	pid, limit := x.pid(), 0
	for line := range strings.Lines(procText(pid, "limits")) {
		if text, found := strings.CutPrefix(line, "Max open files"); found {
			_, _ = fmt.Sscan(text, &limit) // else it is "unlimited"
		}
	}
	open, _ := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if len(open) == 0 || limit == 0 || len(open)+spare < limit {
		return f
	}
	f = warn("process %d has %d file descriptors open, and its limit is %d", pid, len(open), limit)
	if x.units.installed() {
		return f.fix("systemctl edit "+serviceUnit+"   # add these lines:", fmt.Sprintf("[Service]\nLimitNOFILE=%d", 2*limit), x.start())
	}
	return f.fix("ulimit -n 65536   # where the daemon is started; for a service of systemd: LimitNOFILE=", x.start())
}

// procText returns a file of proc(5) about a process, or "" if that has ended.
func procText(pid int, name string) string {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + name)
	return string(text)
}
