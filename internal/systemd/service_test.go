package systemd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shown is what systemctl of version 252 prints of the shipped unit.
const shown = `Type=notify
NotifyAccess=main
ExecStart={ path=/usr/sbin/oauth-proxyd ; argv[]=/usr/sbin/oauth-proxyd serve ; ignore_errors=no ; start_time=[Sat 2026-11-28 19:57:02 UTC] ; stop_time=[n/a] ; pid=87 ; code=(null) ; status=0/0 }
MainPID=87
LoadState=loaded
`

func TestServiceShowReadsWhatSystemctlPrints(t *testing.T) {
	fakeSystemctl(t, "printf '%s' '"+shown+"'")
	u, err := Service{Name: ServiceUnit}.Show(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(u.Name, ".service") || u.Type != "notify" || u.NotifyAccess != "main" || u.Load != "loaded" ||
		u.MainPID != 87 || u.Program != "/usr/sbin/oauth-proxyd" || !slices.Equal(u.Args, []string{"/usr/sbin/oauth-proxyd", "serve"}) {
		t.Errorf("%+v", u)
	}
	if err := u.CheckHandover(87, []string{"/usr/sbin/oauth-proxyd", "serve"}); err != nil {
		t.Error(err)
	}
}

func TestServiceShowSaysWhySystemctlFailed(t *testing.T) {
	fakeSystemctl(t, "echo 'Failed to connect to bus: Host is down' >&2; exit 1")
	if _, err := (Service{Name: ServiceUnit}).Show(t.Context()); err == nil || !strings.HasSuffix(err.Error(), ".service: exit status 1: Failed to connect to bus: Host is down") {
		t.Error(err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := (Service{Name: ServiceUnit}).Show(t.Context()); err == nil || !strings.Contains(err.Error(), "executable file not found") {
		t.Error(err)
	}
}

// fakeSystemctl installs a shell script as systemctl.
func fakeSystemctl(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestTheUnitOfAControlGroup(t *testing.T) {
	t.Parallel()
	for cgroup, want := range map[string]Service{
		"0::/system.slice/oauth-proxyd.service\n":                                         {"oauth-proxyd.service", ""},
		"0::/system.slice/other.service/sub\n":                                            {"other.service", ""},
		"0::/machine.slice/lab/system.slice/proxy@1.service\n":                            {"proxy@1.service", ""},
		"12:pids:/\n1:name=systemd:/system.slice/oauth-proxyd.service\n":                  {"oauth-proxyd.service", ""},
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/mine.service\n":       {"mine.service", " --user"},
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/tmux-spawn-1.scope\n": {ServiceUnit, ""},
		"0::/user.slice/user-1000.slice/session-3.scope\n":                                {ServiceUnit, ""},
		"0::/\n":         {ServiceUnit, ""},
		"":               {ServiceUnit, ""},
		"nonsense\n::\n": {ServiceUnit, ""},
	} {
		if got := serviceOf(cgroup); got != want {
			t.Errorf("serviceOf(%q): %q, want %q", cgroup, got, want)
		}
	}
}

func TestHandoversThatSystemdWouldNotFollow(t *testing.T) {
	t.Setenv("MORE", "--log-level info")
	t.Setenv("LEVEL", "info")
	args := []string{"/usr/sbin/oauth-proxyd", "serve", "--log-level", "info"}
	start := func(argv string) string {
		return "{ path=/usr/sbin/oauth-proxyd ; argv[]=" + argv + " ; ignore_errors=no ; start_time=[n/a] }"
	}
	for _, c := range []struct{ property, value, want string }{
		{"ExecStart", start("/usr/sbin/oauth-proxyd serve --log-level info"), ""},
		{"ExecStart", start("/usr/sbin/oauth-proxyd serve $MORE"), ""},
		{"ExecStart", start("/usr/sbin/oauth-proxyd serve --log-level ${LEVEL}"), ""},
		{"ExecStart", start(`/usr/sbin/oauth-proxyd serve "--log-level" 'info'`), ""},
		{"ExecStart", start("/usr/sbin/oauth-proxyd serve --log-level $$LEVEL"), `p.service starts "/usr/sbin/oauth-proxyd serve --log-level $LEVEL" now, but this process was started as "/usr/sbin/oauth-proxyd serve --log-level info"; run systemctl restart p.service instead`},
		{"ExecStart", "", `p.service starts "" now, but this process was started as "/usr/sbin/oauth-proxyd serve --log-level info"; run systemctl restart p.service instead`},
		{"Type", "notify-reload", ""},
		{"Type", "exec", "p.service has Type=exec, and systemd may not follow the new process; set Type=notify"},
		{"NotifyAccess", "all", ""},
		{"NotifyAccess", "none", "p.service has NotifyAccess=none, and systemd would not follow the new process; set NotifyAccess=main"},
		{"NeedDaemonReload", "yes", ""},
		{"LoadState", "masked", "p.service is masked, and systemd would not follow the new process: run systemctl unmask p.service"},
		{"LoadState", "not-found", "systemd no longer has a unit file for p.service (LoadState=not-found)"},
		{"MainPID", "0", "systemd does not run this process: MainPID= of p.service is 0"},
		{"MainPID", "88", "systemd does not run this process: MainPID= of p.service is 88"},
		{"MainPID", "many", "systemd does not run this process: MainPID= of p.service is 0"},
	} {
		u := parseUnit(shown + "ExecStart=" + start(strings.Join(args, " ")) + "\n" + c.property + "=" + c.value + "\n")
		u.Name = "p.service"
		got := ""
		if err := u.CheckHandover(87, args); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s=%s: %q, want %q", c.property, c.value, got, c.want)
		}
	}
}

func FuzzParseUnit(f *testing.F) {
	f.Add(shown)
	f.Fuzz(func(t *testing.T, text string) {
		u := parseUnit(text)
		if err := u.CheckHandover(u.MainPID+1, nil); err == nil {
			t.Errorf("%+v follows another process", u)
		}
		_ = u.CheckHandover(u.MainPID, []string{text})
	})
}
