package doctor_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/doctor"
)

// Outputs of systemctl show, and a fix.
const (
	running = "Result=success\nExecMainStatus=0\nLoadState=loaded\nActiveState=active\n"
	stopped = "Result=success\nExecMainStatus=0\nLoadState=loaded\nActiveState=inactive\n"
	absent  = "LoadState=not-found\nActiveState=inactive\n"
	listens = "\nId=oauth-proxyd.socket\nResult=success\nListen=[::]:8080 (Stream)\nLoadState=loaded\nActiveState=active\n"
	reopen  = "systemctl stop oauth-proxyd.service oauth-proxyd.socket && systemctl start oauth-proxyd.socket"
	second  = "\nId=batch.socket\nResult=resources\nLoadState=loaded\nActiveState=failed\n"
	silent  = "\nResult=success\nListen=[::]:8080 (Stream)\nLoadState=loaded\nActiveState=inactive\n"
)

// failed is a service that stopped with this result and exit code.
func failed(result, code string) string {
	return "Result=" + result + "\nExecMainStatus=" + code + "\nLoadState=loaded\nActiveState=failed\n"
}

// restarting is a service that systemd starts again after it exited.
func restarting(code string) string {
	return "Result=exit-code\nExecMainStatus=" + code + "\nLoadState=loaded\nActiveState=activating\n"
}

// TestEndingsOfTheService: what ended a service that systemd starts again is named.
func TestEndingsOfTheService(t *testing.T) {
	for _, row := range []struct {
		name, shown string
		words       []string
	}{
		{
			"again and again, with a wrong flag", "Result=exit-code\nExecMainStatus=64\nLoadState=loaded\nActiveState=deactivating\n" + listens,
			[]string{"keeps restarting: the command line is wrong, exit 64", "systemctl cat oauth-proxyd.service   # see ExecStart="},
		},
		{"a command before it fails", restarting("0") + listens, []string{
			"keeps restarting: another command of the unit failed, such as ExecStartPre=\nsystemctl cat oauth-proxyd.service   # see ExecStartPre=",
		}},
		{"its file is refused", restarting("78") + listens, []string{"the configuration was refused, exit 78\noauth-proxyd check   # with the --config of ExecStart="}},
		{"its program is missing", restarting("203") + listens, []string{"could not run the program of ExecStart=, exit 203", "# see ExecStart="}},
		{"its user is missing", restarting("217") + listens, []string{"systemd could not start the program, exit 217\njournalctl -u oauth-proxyd"}},
	} {
		if f, _ := doctor.JudgeUnits(row.shown); f.Status != doctor.Fail || lacks(f, row.words) {
			t.Errorf("%s: %+v, want %q", row.name, f, row.words)
		}
	}
}

// TestServiceThatClientsStartAgain: ExecStopPost= has written down how a service ended, even if
// systemd has forgotten that because a client had it start the service again.
func TestServiceThatClientsStartAgain(t *testing.T) {
	const starting = "Result=success\nExecMainStatus=0\nLoadState=loaded\nActiveState=activating\n" + listens
	file := filepath.Join(t.TempDir(), "last-end")
	for _, row := range []struct {
		left   string
		age    time.Duration
		status doctor.Status
		words  []string
	}{
		{"exit-code 64", 0, doctor.Fail, []string{"keeps restarting: the command line is wrong, exit 64", "# see ExecStart="}},
		{"exit-code 78", time.Second, doctor.Fail, []string{"keeps restarting: the configuration was refused, exit 78", "oauth-proxyd check"}},
		{"exit-code ", 0, doctor.Fail, []string{"keeps restarting: another command of the unit failed, such as ExecStartPre=", "# see ExecStartPre="}},
		{"signal KILL", 0, doctor.Fail, []string{"keeps restarting: killed (signal KILL)"}},
		{"success 0", 0, doctor.Warn, []string{"is starting"}},
		{"exit-code 78", time.Minute, doctor.Warn, []string{"is starting"}},
	} {
		if err := os.WriteFile(file, []byte(row.left+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, time.Time{}, time.Now().Add(-row.age)); err != nil {
			t.Fatal(err)
		}
		if f := doctor.JudgeStarting(starting, file); f.Status != row.status || lacks(f, row.words) {
			t.Errorf("%q: %+v, want %s with %q", row.left, f, row.status, row.words)
		}
	}
	if f := doctor.JudgeStarting(starting, file+".absent"); f.Status != doctor.Warn {
		t.Errorf("nothing is known: %+v", f)
	}
}

func TestWhatSystemdSaysOfTheUnits(t *testing.T) {
	for _, row := range []struct {
		name, shown string
		status      doctor.Status
		words       []string
	}{
		{"both are active", running + listens, doctor.OK, []string{"oauth-proxyd.service is active"}},
		{"it waits for a client", stopped + listens, doctor.OK, []string{"listens on [::]:8080; the first request starts it"}},
		{"neither is active", stopped + silent, doctor.Fail, []string{"systemctl enable --now oauth-proxyd.socket"}},
		{"without a socket unit", stopped + "\n" + absent, doctor.Fail, []string{"inactive", "systemctl start oauth-proxyd.service"}},
		{"the configuration is bad", failed("exit-code", "78") + listens, doctor.Fail, []string{"stopped: the configuration was refused, exit 78", "oauth-proxyd check", "systemctl restart oauth-proxyd.service"}},
		{
			"the configuration was bad, and the port is taken", failed("exit-code", "78") + "\nId=oauth-proxyd.socket\nListen=[::]:8080 (Stream)\nResult=resources\nLoadState=loaded\nActiveState=failed\n", doctor.Fail,
			[]string{"oauth-proxyd.socket failed", "ss -ltnp 'sport = :8080'", "systemctl reset-failed oauth-proxyd.socket && systemctl start oauth-proxyd.socket"},
		},
		{"tailscaled wants a login", failed("exit-code", "77") + listens, doctor.Fail, []string{"needs a login or an approval", "tailscale status"}},
		{"it crashed", failed("signal", "11") + listens, doctor.Fail, []string{"signal", "journalctl -u oauth-proxyd"}},
		{
			"it starts", "ExecMainStatus=0\nLoadState=loaded\nActiveState=activating\n" + listens, doctor.Warn,
			[]string{"oauth-proxyd.service is starting; clients wait", "journalctl -u oauth-proxyd"},
		},
		{"again and again", "Result=exit-code\nExecMainStatus=1\nLoadState=loaded\nActiveState=activating\n" + listens, doctor.Fail, []string{"keeps restarting"}},
		{
			"the socket failed", stopped + "\nId=oauth-proxyd.socket\nResult=trigger-limit-hit\nLoadState=loaded\nActiveState=failed\n", doctor.Fail,
			[]string{"trigger-limit-hit", "systemctl reset-failed oauth-proxyd.socket"},
		},
		{
			"it runs, and the socket failed", running + "\nId=oauth-proxyd.socket\nListen=[::]:8080 (Stream)\nResult=resources\nLoadState=loaded\nActiveState=failed\n", doctor.Fail,
			[]string{"oauth-proxyd.socket failed (resources), and oauth-proxyd.service runs without it", "ss -ltnp 'sport = :8080'", "systemctl restart oauth-proxyd.service"},
		},
		{
			"it runs, and the socket is masked", running + "\nId=oauth-proxyd.socket\nLoadState=masked\nActiveState=inactive\n", doctor.Warn,
			[]string{"once oauth-proxyd.service stops, nothing listens", "systemctl unmask oauth-proxyd.socket"},
		},
		{
			"it runs, and the socket was masked since", running + "\nId=oauth-proxyd.socket\nLoadState=masked\nActiveState=active\n", doctor.Warn,
			[]string{"oauth-proxyd.socket is masked", "systemctl unmask oauth-proxyd.socket", reopen},
		},
		{"it runs, and a second socket failed", running + listens + second, doctor.Fail, []string{"batch.socket failed (resources)", "systemctl status batch.socket"}},
		{"it waits, and a second socket failed", stopped + listens + second, doctor.Fail, []string{"batch.socket failed (resources)"}},
		{
			"the socket is masked", stopped + "\nId=oauth-proxyd.socket\nLoadState=masked\nActiveState=inactive\n", doctor.Fail,
			[]string{"oauth-proxyd.socket is masked", "systemctl unmask oauth-proxyd.socket", "systemctl enable --now oauth-proxyd.socket"},
		},
		{"masked", "LoadState=masked\nActiveState=inactive\n" + listens, doctor.Fail, []string{"oauth-proxyd.service is masked\nsystemctl unmask"}},
		{
			"masked, and it runs", "LoadState=masked\nActiveState=active\n" + listens, doctor.Fail,
			[]string{"is masked: systemd ignores its watchdog pings, and kills it within 30 s\nsystemctl unmask oauth-proxyd.service"},
		},
		{
			"only a second socket listens", stopped + silent + "\nId=batch.socket\nLoadState=loaded\nActiveState=active\nListen=[::]:8081 (Stream)\n",
			doctor.OK,
			[]string{"batch.socket listens on [::]:8081; the first request starts it"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			f, installed := doctor.JudgeUnits(row.shown)
			if !installed || f.Status != row.status || lacks(f, row.words) {
				t.Errorf("%+v, want %s with %q", f, row.status, row.words)
			}
		})
	}
	if _, installed := doctor.JudgeUnits(absent + "\n" + absent); installed {
		t.Error("units that are not there")
	}
}

func TestSocketThatDoesNotListen(t *testing.T) {
	t.Parallel()
	for _, service := range []string{"active", "inactive"} {
		f, _ := doctor.JudgeUnits("LoadState=loaded\nActiveState="+service+"\n"+listens, "[::]:8080")
		if f.Status != doctor.Fail || lacks(f, []string{"oauth-proxyd.socket is active, but systemd does not listen on [::]:8080", "no client can connect there", reopen}) {
			t.Errorf("%s: %+v", service, f)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if doctor.IsFree(address) || doctor.IsFree("[fe80::1]:8080%eth0") {
		t.Error("an address that is taken, or not known, is free")
	}
	l.Close()
	if !doctor.IsFree(address) {
		t.Error("an address on which nothing listens is not free")
	}
}

// TestStatesOfTheUnits: the findings on ports and the daemon are true in every state of the units.
func TestStatesOfTheUnits(t *testing.T) {
	const (
		listens = "\nId=oauth-proxyd.socket\nLoadState=loaded\nActiveState=active\nListen=[::]:8080 (Stream)\n"
		taken   = "\nId=oauth-proxyd.socket\nLoadState=loaded\nActiveState=failed\nResult=resources\nListen=[::]:8080 (Stream)\n"
		stopped = "LoadState=loaded\nActiveState=inactive\n"
	)
	refuse := func(w *world) { w.replace("upstream_url", "upstrem_url") }
	for _, row := range []struct {
		name, units string
		broken      func(*world)
		check       string
		status      doctor.Status
		words       []string
	}{
		{
			"a silent program has the port", stopped + taken, func(w *world) { w.health = hang },
			"sockets", doctor.Fail,
			[]string{"another program listens on", "ss -ltnp 'sport = :", "systemctl edit oauth-proxyd.socket"},
		},
		{
			"an HTTP server has the port", stopped + taken, func(w *world) { w.health = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hi") } },
			"sockets", doctor.Fail,
			[]string{"another program listens on", "ss -ltnp 'sport = :", "[Socket]\nListenStream=\nListenStream=[::]:PORT"},
		},
		{"it starts", "LoadState=loaded\nActiveState=activating\n" + listens, refuse, "sockets", doctor.OK, []string{"oauth-proxyd.socket listens on [::]:"}},
		{"it starts, and is not judged twice", "LoadState=loaded\nActiveState=activating\n" + listens, refuse, "daemon", "", nil},
		{"it waits, and would be refused", stopped + listens, refuse, "daemon", doctor.Fail, []string{"the first request cannot start it", "check --config test.hcl"}},
		{
			"neither is active", stopped + strings.Replace(listens, "=active", "=inactive", 1), func(w *world) { w.health = nil },
			"systemd", doctor.Fail,
			[]string{"are not active", "systemctl enable --now oauth-proxyd.socket"},
		},
		{
			"neither is active, which is said once", stopped + strings.Replace(listens, "=active", "=inactive", 1), func(w *world) { w.health = nil },
			"sockets", "", nil,
		},
		{"it waits", stopped + listens, func(*world) {}, "daemon", doctor.OK, []string{"starts it with the first request"}},
		{
			"it runs, and its admin socket is gone", "LoadState=loaded\nActiveState=active\n" + listens, func(*world) {},
			"daemon", doctor.Fail,
			[]string{"admin socket", "systemctl kill --signal=HUP --kill-who=main oauth-proxyd"},
		},
		{
			"the file cannot be read, and there is no tailnet", stopped + listens, func(w *world) { refuse(w); w.tailscaled = nil },
			"tailscaled", doctor.Unknown,
			[]string{"not running", "only the configuration says"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			w.status, w.units = nil, row.units
			row.broken(w)
			r := w.examine()
			if f := find(r, row.check); f.Status != row.status || lacks(f, row.words) {
				t.Errorf("%+v, want %q with %q", f, row.status, row.words)
			}
			for _, f := range r.Findings {
				if !lacks(f, []string{"listen_addr"}) {
					t.Errorf("the socket is systemd's: %+v", f)
				}
			}
		})
	}
}

// TestServiceIsKeptFromTheUpstream: doctor, outside of the service's sandbox, can connect.
func TestServiceIsKeptFromTheUpstream(t *testing.T) {
	w := newWorld(t)
	w.units = running + listens
	w.status.Service = "oauth-proxyd.service"
	w.failing("the last request failed: upstream_connect: refused", "run `oauth-proxyd doctor`")
	w.status.Requests.Cause = "upstream_connect: refused"
	f, _ := firstFault(w.examine())
	if f.Check != "daemon" || f.Status != doctor.Warn || lacks(f, []string{
		"upstream_connect: refused\nthis command can connect and the daemon could not",
		"see PrivateNetwork=, IPAddressDeny=, RestrictAddressFamilies= and LimitNOFILE= in `systemctl cat oauth-proxyd`",
	}) {
		t.Errorf("%+v", f)
	}
}

// TestDaemonOutsideOfTheService: the units do not matter for a daemon that was started by hand.
func TestDaemonOutsideOfTheService(t *testing.T) {
	for _, active := range []string{"inactive", "active"} {
		w := newWorld(t)
		w.units = "LoadState=loaded\nActiveState=" + active + "\n\nLoadState=masked\nActiveState=" + active + "\nListen=[::]:8080 (Stream)\n"
		w.status.RestartWith, w.status.Version = "kill 4711, then oauth-proxyd serve", "v0"
		r := w.examine()
		if f, _ := firstFault(r); f.Check != "daemon" || lacks(f, []string{"runs version v0", "\nkill 4711, then oauth-proxyd serve"}) {
			t.Errorf("%s: %+v", active, f)
		}
		if f := find(r, "systemd"); f.Status != doctor.OK || lacks(f, []string{"is " + active + "; process 4711 is another daemon"}) {
			t.Errorf("%+v", f)
		}
	}
}

func TestNotRunning(t *testing.T) {
	service := func(active, result, status string) string {
		return "Id=oauth-proxyd.service\nLoadState=loaded\nActiveState=" + active + "\nResult=" + result + "\nExecMainStatus=" + status + "\n\n"
	}
	const (
		listens = "Id=oauth-proxyd.socket\nLoadState=loaded\nActiveState=active\nListen=[::]:8080 (Stream)\n"
		closed  = "Id=oauth-proxyd.socket\nLoadState=loaded\nActiveState=inactive\nListen=[::]:8080 (Stream)\n"
		second  = "\nId=batch.socket\nLoadState=loaded\nActiveState=active\nListen=/run/batch.sock (Stream)\n"
	)
	for name, row := range map[string]struct{ shown, seen, fix string }{
		"idle":            {service("inactive", "success", "0") + listens, "oauth-proxyd.socket listens on [::]:8080; the first request starts it", ""},
		"idle on two":     {service("inactive", "success", "0") + listens + second, "oauth-proxyd.socket listens on [::]:8080, batch.socket listens on /run/batch.sock", ""},
		"idle on another": {service("inactive", "success", "0") + closed + second, "batch.socket listens on /run/batch.sock; the first request starts it", ""},
		"refused":         {service("failed", "exit-code", "78") + listens, "stopped: the configuration was refused, exit 78", "oauth-proxyd check"},
		"no login":        {service("failed", "exit-code", "77") + listens, "stopped: tailscaled needs a login or an approval, exit 77", "tailscale status"},
		"no tailnet":      {service("failed", "exit-code", "69") + listens, "the tailnet could not be reached, exit 69", "journalctl"},
		"killed":          {service("failed", "signal", "9") + listens, "stopped: killed (signal 9)", "journalctl"},
		"out of memory":   {service("activating", "oom-kill", "9") + listens, "keeps restarting: killed, out of memory", "journalctl"},
		"watchdog":        {service("activating", "watchdog", "6") + listens, "keeps restarting: killed by systemd's watchdog", "journalctl"},
		"stopped by hand": {service("inactive", "success", "0") + closed, "oauth-proxyd.socket and oauth-proxyd.service are not active", "systemctl enable --now oauth-proxyd.socket"},
		"it runs":         {service("active", "success", "0") + listens, "", ""},
		"it starts":       {service("activating", "success", "0") + listens, "", ""},
	} {
		f := doctor.NotRunningBy(row.shown)
		if f == nil {
			f = &doctor.Finding{}
		}
		if (f.Status == doctor.OK) != strings.HasPrefix(name, "idle") {
			t.Errorf("%s: %+v", name, *f)
		}
		if !strings.Contains(f.Seen, row.seen) || (f.Seen == "") != (row.seen == "") || !strings.Contains(strings.Join(f.Fix, "\n"), row.fix) {
			t.Errorf("%s: %+v", name, *f)
		}
	}
}
