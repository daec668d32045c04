package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"oauth-proxyd/internal/admin"
)

// Unavailable says why the daemon could not be asked, and how to fix it. It returns nil if only the
// other checks can say that.
func Unavailable(ctx context.Context, err error) *Finding {
	x := &facts{units: installedUnits(ctx), daemonErr: err}
	return x.unavailable()
}

func (x *facts) unavailable() *Finding {
	foreign, isForeign := errors.AsType[*admin.ForeignError](x.daemonErr)
	_, isSilent := errors.AsType[*admin.SilentError](x.daemonErr)
	lost, isLost := errors.AsType[*admin.LostError](x.daemonErr)
	f := fail("%v", x.daemonErr)
	switch {
	case isSilent:
		f = x.stuck(f)
	case isLost:
		f = x.openIn(f, lost.Socket)
	case isForeign && foreign.Named:
		f = f.fix("name the admin socket of a running daemon with --socket")
	case isForeign:
		f = f.fix("remove the file at the path of the admin socket, and have the daemon open it again:", x.openAgain())
	default:
		return nil
	}
	return &f
}

// openIn adds to a finding how to get the admin socket back. A reload opens it only where its
// directory is there and can be written to.
func (x *facts) openIn(f Finding, socket string) Finding {
	directory := filepath.Dir(socket)
	var system syscall.Statfs_t
	err := syscall.Statfs(directory, &system)
	switch {
	case err == nil && system.Flags&syscall.MS_RDONLY != 0:
		f.Seen += "; " + directory + " is on a read-only file system"
		return f.fix("make "+directory+" writable, or start the daemon with another RUNTIME_DIRECTORY, then:", x.start())
	case errors.Is(err, fs.ErrNotExist):
		f.Seen += "; " + directory + " does not exist"
		if x.units.installed() {
			return f.fix(x.start() + "   # systemd makes the directory again")
		}
		f = f.fix("mkdir " + directory)
	}
	return f.fix(x.openAgain())
}

// openAgain returns the command that has the daemon open its admin socket again.
func (x *facts) openAgain() string {
	const why = "   # a reload, which cuts no stream"
	switch pid := x.pid(); {
	case x.units.installed() && (pid == 0 || pid == x.units.service.MainPID):
		return "systemctl kill --signal=HUP --kill-who=main oauth-proxyd" + why
	case pid != 0:
		return fmt.Sprintf("kill -HUP %d%s", pid, why)
	}
	show := "ss -xlp"
	if port := x.port(); port != 0 {
		show = fmt.Sprintf("ss -ltnp 'sport = :%d'", port)
	}
	return "kill -HUP PID" + why + "; as root, " + show + " shows the PID"
}

// pid returns the process that has the admin socket, or 0 if it is not known.
func (x *facts) pid() int {
	if x.daemon != nil {
		return x.daemon.PID
	}
	if silent, is := errors.AsType[*admin.SilentError](x.daemonErr); is {
		return silent.PID
	}
	if lost, is := errors.AsType[*admin.LostError](x.daemonErr); is {
		return lost.PID
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
		f.Seen += fmt.Sprintf(": it is process %d, %q", pid, strings.TrimSpace(procText(pid, "comm")))
	}
	if f = f.fix(x.start()); x.units.installed() {
		return f.fix(journalCommand)
	}
	return f
}

// procText returns a file of proc(5) about a process, or "" if that has ended.
func procText(pid int, name string) string {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + name)
	return string(text)
}
