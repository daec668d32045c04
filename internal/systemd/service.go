package systemd

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// The units of the package.
const (
	ServiceUnit = "oauth-proxyd.service"
	SocketUnit  = "oauth-proxyd.socket"
)

// Service is a service of systemd, and Manager the options of its manager. The zero value is for a
// process that something else has started.
type Service struct{ Name, Manager string }

// OwnService returns the service whose main process this is. It is zero if a service, such as cron,
// has only started this process.
func (n *Notifier) OwnService() Service {
	if n.Socket() == "" && os.Getenv("SYSTEMD_EXEC_PID") != strconv.Itoa(os.Getpid()) {
		return Service{}
	}
	cgroup, _ := os.ReadFile("/proc/self/cgroup") // without it: the packaged unit
	return serviceOf(string(cgroup))
}

// Show asks systemd about the service.
func (s Service) Show(ctx context.Context) (Unit, error) {
	units, err := ShowUnits(ctx, append(strings.Fields(s.Manager), "--", s.Name)...)
	if err != nil {
		return Unit{}, err
	}
	u := units[0]
	u.Name = s.Name
	return u, nil
}

// OfSystem returns the name, unless a user's own service manager runs the service.
func (s Service) OfSystem() string {
	if s.Manager != "" {
		return ""
	}
	return s.Name
}

// Restart returns the command that restarts the service.
func (s Service) Restart() string { return "systemctl" + s.Manager + " restart " + s.short() }

// Journal returns the command that shows the log of the service; empty for the zero value.
func (s Service) Journal() string {
	if s.Name == "" {
		return ""
	}
	return "journalctl" + s.Manager + " -u " + s.short()
}

func (s Service) short() string { return strings.TrimSuffix(s.Name, ".service") }

// serviceOf finds the service in the content of /proc/self/cgroup, see cgroups(7). A control group
// namespace (ProtectControlGroups=private) hides it, and the packaged one is assumed.
func serviceOf(cgroup string) Service {
	for line := range strings.Lines(cgroup) {
		for _, part := range slices.Backward(strings.Split(strings.TrimSpace(line), "/")) {
			switch {
			case !strings.HasSuffix(part, ".service") || strings.HasPrefix(part, "user@"):
			case strings.Contains(line, "/user@"):
				return Service{part, " --user"}
			default:
				return Service{Name: part}
			}
		}
	}
	return Service{Name: ServiceUnit}
}

// words splits a command line. It ignores quotes, and so splits at blanks within a word too,
// because only newer versions of systemd show quotes.
func words(commandLine string) []string {
	return strings.Fields(strings.NewReplacer(`"`, "", `'`, "", `\`, "").Replace(commandLine))
}

// CheckHandover returns why systemd would not follow a hand-over of the process pid, which was
// started with args, or why a restart would start something else. Each error says how to fix that.
// A unit file that systemd has not read again (NeedDaemonReload=) does not count: systemd uses what
// it has read, and shows that property after two systemctl set-property too.
func (u Unit) CheckHandover(pid int, args []string) error {
	switch {
	case u.MainPID != pid:
		return fmt.Errorf("systemd does not run this process: MainPID= of %s is %d", u.Name, u.MainPID)
	case u.Load == "masked":
		return fmt.Errorf("%s is masked, and systemd would not follow the new process: run systemctl unmask %s", u.Name, u.Name)
	case u.Load != "loaded":
		return fmt.Errorf("systemd no longer has a unit file for %s (LoadState=%s)", u.Name, u.Load)
	case u.NotifyAccess == "none":
		return fmt.Errorf("%s has NotifyAccess=none, and systemd would not follow the new process; set NotifyAccess=main", u.Name)
	case u.Type != "notify" && u.Type != "notify-reload":
		return fmt.Errorf("%s has Type=%s, and systemd may not follow the new process; set Type=notify", u.Name, u.Type)
	}
	if started, now := words(strings.Join(args, " ")), u.expandedArgs(); !slices.Equal(started, now) {
		return fmt.Errorf("%s starts %q now, but this process was started as %q; run systemctl restart %s instead",
			u.Name, strings.Join(now, " "), strings.Join(started, " "), u.Name)
	}
	return nil
}

// expandedArgs returns Args with variables expanded as systemd does, see systemd.service(5). The
// variables of the unit are those of this process.
func (u Unit) expandedArgs() []string {
	return words(os.Expand(strings.Join(u.Args, " "), func(name string) string {
		if name == "$" {
			return "$"
		}
		return os.Getenv(name)
	}))
}

// LastEnd returns the arguments of [Ending] for the previous process of the service, which
// ExecStopPost= of the unit has written to a file. They are empty without the file.
func LastEnd(file string) (result, status string) {
	text, _ := os.ReadFile(file)
	result, status, _ = strings.Cut(strings.TrimSpace(string(text)), " ")
	return result, status
}

// Ending says how a process of a service ended, from $SERVICE_RESULT and $EXIT_STATUS of
// systemd.exec(5), which "systemctl show" calls Result and ExecMainStatus. It is empty if the
// process ended normally.
func Ending(result, status string) string {
	endings := map[string]string{
		"": "", "success": "",
		"oom-kill":  "killed, out of memory",
		"watchdog":  "killed by systemd's watchdog, because it did not respond",
		"timeout":   "killed, because it did not start or stop in time",
		"signal":    "killed (signal " + status + ")",
		"core-dump": "crashed (signal " + status + ")",
		"exit-code": exitText(status),
	}
	if ending, known := endings[result]; known {
		return ending
	}
	return "failed (" + result + ")"
}

// exitText returns the words for an exit status. Those from 200 on are of systemd, in place of a
// process that it could not start (systemd.exec(5)).
func exitText(status string) string {
	exits := map[string]string{
		"2":  "it crashed and wrote its goroutine stacks to the log, ", // Go's runtime, on SIGABRT too
		"64": "the command line is wrong, ", "69": "the tailnet could not be reached, ",
		"77": "tailscaled needs a login or an approval, ", "78": "the configuration was refused, ",
		"203": "systemd could not run the program of ExecStart=, ",
	}
	text, known := exits[status]
	switch {
	case status == "" || status == "0": // that of the process, which is not the cause
		return "another command of the unit failed, such as ExecStartPre="
	case !known && len(status) == 3 && status >= "200":
		text = "systemd could not start the program, "
	}
	return text + "exit " + status
}
