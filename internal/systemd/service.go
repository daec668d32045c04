package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// packagedUnit is asked about where the control group does not name the unit of this
// process: in a control group namespace (ProtectControlGroups=private).
const packagedUnit = "oauth-proxyd.service"

// Service is what systemd says of a service, in the words of systemctl(1), show.
type Service struct {
	Name         string // with the suffix .service
	LoadState    string // loaded, masked, …
	Type         string
	NotifyAccess string
	MainPID      int      // 0: none
	Program      string   // the path of ExecStart=
	Args         []string // the words of ExecStart=, that of the program included
}

// ShowService asks systemd about the service that this process belongs to. It runs systemctl,
// because only D-Bus tells, and a client for it would cost more than the rest of this package.
func ShowService(ctx context.Context) (Service, error) {
	cgroup, _ := os.ReadFile("/proc/self/cgroup") // without it: the packaged unit
	name, user := unitOf(string(cgroup))
	args := []string{"show", "--property=LoadState,Type,NotifyAccess,MainPID,ExecStart", "--", name}
	if user {
		args = slices.Insert(args, 0, "--user")
	}
	c := exec.CommandContext(ctx, "systemctl", args...)
	c.WaitDelay = time.Second
	out, err := c.Output()
	if err != nil {
		return Service{}, fmt.Errorf("asking systemd about %s: %w", name, withWords(err))
	}
	s := parseService(string(out))
	s.Name = name
	return s, nil
}

// withWords adds what a command that failed has said.
func withWords(err error) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || len(exit.Stderr) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s", err, oneLine(string(exit.Stderr)))
}

// unitOf finds the service in the content of /proc/self/cgroup, see cgroups(7), and whether
// it is one of a user's own service manager.
func unitOf(cgroup string) (name string, user bool) {
	for line := range strings.Lines(cgroup) {
		_, path, _ := strings.Cut(strings.TrimSpace(line), ":/")
		for _, part := range slices.Backward(strings.Split(path, "/")) {
			if strings.HasPrefix(part, "user@") {
				user = true
				break
			}
			if name == "" && strings.HasSuffix(part, ".service") {
				name = part
			}
		}
		if name != "" {
			return name, user
		}
		user = false
	}
	return packagedUnit, false
}

// parseService reads what systemctl show has written. A line that is missing leaves its field
// empty.
func parseService(text string) (s Service) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch name {
		case "LoadState":
			s.LoadState = value
		case "Type":
			s.Type = value
		case "NotifyAccess":
			s.NotifyAccess = value
		case "MainPID":
			s.MainPID, _ = strconv.Atoi(value) // 0 is nobody's
		case "ExecStart":
			s.Program = between(value, "path=", " ; argv[]=")
			s.Args = words(between(value, " ; argv[]=", " ; ignore_errors="))
		}
	}
	return s
}

func between(text, before, after string) string {
	_, text, _ = strings.Cut(text, before)
	text, _, _ = strings.Cut(text, after)
	return text
}

// words splits a command line. Newer systemd quotes a word where older systemd does not, so
// that neither quotes nor blanks within a word count.
func words(commandLine string) []string {
	return strings.Fields(strings.NewReplacer(`"`, "", `'`, "", `\`, "").Replace(commandLine))
}

// CheckHandover returns why systemd would not follow a hand-over of the process pid, which
// was started with args, or would follow it to something else than a restart starts. Each
// error says how to fix that. A unit file that systemd has not read again (NeedDaemonReload=) is no
// reason: systemd goes by what it has read, and also shows it so after two systemctl set-property.
func (s Service) CheckHandover(pid int, args []string) error {
	switch {
	case s.MainPID != pid && s.MainPID != 0:
		return fmt.Errorf("systemd does not run this process: the main one of %s is process %d", s.Name, s.MainPID)
	case s.MainPID != pid:
		return fmt.Errorf("systemd does not run this process: %s has no main process", s.Name)
	case s.LoadState == "masked":
		return fmt.Errorf("%s is masked, and systemd would not follow the new process: run systemctl unmask %s", s.Name, s.Name)
	case s.LoadState != "loaded":
		return fmt.Errorf("systemd has no unit file for %s anymore (LoadState=%s)", s.Name, s.LoadState)
	case s.NotifyAccess == "none":
		return fmt.Errorf("%s has NotifyAccess=none, and systemd would not follow the new process; set NotifyAccess=main", s.Name)
	case s.Type != "notify" && s.Type != "notify-reload":
		return fmt.Errorf("%s has Type=%s, and systemd may not follow the new process; set Type=notify", s.Name, s.Type)
	}
	if started, now := words(strings.Join(args, " ")), s.expandedArgs(); !slices.Equal(started, now) {
		return fmt.Errorf("%s starts %q now, but this process was started as %q; run systemctl restart %s instead",
			s.Name, strings.Join(now, " "), strings.Join(started, " "), s.Name)
	}
	return nil
}

// expandedArgs are Args with the variables of the environment that systemd puts in, see
// systemd.service(5). Those of the unit are this process's own.
func (s Service) expandedArgs() []string {
	return words(os.Expand(strings.Join(s.Args, " "), func(name string) string {
		if name == "$" {
			return "$"
		}
		return os.Getenv(name)
	}))
}
