package main_test

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// This is the slowest test: it takes the 30 s of the limit.
func TestSuccessorTimesOut(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s, program := installed(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	installText(t, program, "#!/bin/sh\nexec sleep 1000\n")
	code, out, errs := s.command("upgrade")
	if code != 1 || out != "" || !strings.Contains(errs, "it was not ready within 30s") {
		t.Errorf("upgrade: %d %q %q", code, out, errs)
	}
	get(t, s.url()+"/echo").Want(t, 200)
}

// systemd supervises only its own children.
func TestSuccessorParentIsTheManager(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	for range 2 {
		status := read(t, fmt.Sprintf("/proc/%d/status", s.wantUpgrade()))
		if want := fmt.Sprintf("\nPPid:\t%d\n", os.Getpid()); !strings.Contains(status, want) {
			t.Errorf("want %q in\n%s", want, status)
		}
	}
}

// An upgrade that systemd would not follow would end both processes.
func TestUpgradeRefusedByUnit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		properties map[string]string
		pid        int // of the main process; 0: the daemon
		want       string
	}{
		"masked":            {map[string]string{"LoadState": "masked", "Type": "simple", "NotifyAccess": "none"}, 0, ".service is masked, and systemd would not follow the new process: run systemctl unmask "},
		"no unit":           {map[string]string{"LoadState": "not-found"}, 0, "systemd no longer has a unit file for "},
		"NotifyAccess=none": {map[string]string{"NotifyAccess": "none"}, 0, "has NotifyAccess=none, and systemd would not follow the new process; set NotifyAccess=main"},
		"Type=exec":         {map[string]string{"Type": "exec"}, 0, "has Type=exec, and systemd may not follow the new process; set Type=notify"},
		"other arguments": {
			map[string]string{"ExecStart": "{ path=/usr/sbin/oauth-proxyd ; argv[]=/usr/sbin/oauth-proxyd serve --config /etc/other.hcl ; ignore_errors=no ; start_time=[n/a] }"},
			0, `starts "/usr/sbin/oauth-proxyd serve --config /etc/other.hcl" now, but this process was started as "oauth-proxyd serve --config `,
		},
		"a wrapper": {
			map[string]string{"ExecStart": "{ path=/usr/bin/nice ; argv[]=/usr/bin/nice oauth-proxyd serve ; ignore_errors=no ; start_time=[n/a] }"},
			0, `starts "/usr/bin/nice oauth-proxyd serve" now, but `,
		},
		"another process": {nil, 1, "systemd does not run this process: MainPID= of "},
		"no process":      {map[string]string{"MainPID": "0"}, 0, ".service is 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
			s.properties = c.properties
			s.show(cmp.Or(c.pid, s.process.PID))
			s.wantNoUpgrade(c.want)
			if n := s.log.Count("starting the installed program"); n != 0 {
				t.Errorf("%d programs were started", n)
			}
		})
	}
}

// wantNoUpgrade wants an upgrade to be refused for a reason, without any change.
func (s *service) wantNoUpgrade(why string) {
	s.t.Helper()
	code, out, errs := s.command("upgrade")
	if code != 1 || out != "" || !strings.Contains(errs, "error: not upgraded: ") || !strings.Contains(errs, why) {
		s.t.Errorf("upgrade: %d %q %q", code, out, errs)
	}
	s.notes.Next(s.t, "STATUS=Serving on", why)
	get(s.t, s.url()+"/health").Want(s.t, 200)
	s.wantNoSuccessor()
}

// systemctl shows a command line as it is in the unit, but a process has its variables filled in.
func TestUpgradeWithVariablesInExecStart(t *testing.T) {
	t.Parallel()
	s := newService(t, unit{
		config: forwarding("http://127.0.0.1:9", "", withoutTailnet),
		args:   []string{"--log-level", "warn"}, env: []string{"MORE=--log-level warn", "FORM=json"},
	})
	s.properties = map[string]string{"ExecStart": "{ path=" + s.program() + " ; argv[]=oauth-proxyd serve --config \"" +
		s.file() + "\" $MORE --log-format ${FORM} ; ignore_errors=no ; start_time=[n/a] }"}
	s.run()
	s.notes.Next(t, "READY=1")
	s.wantUpgrade()
}

// systemd ignores messages without an error, so the daemon has to ask.
func TestSuccessorNotTakenOverIsEnded(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	stream := u.openStream(t, newClient(t), s.url())
	load := newLoad(t, s.unit.sockets[0].Addr())
	s.deaf.Store(true)
	code, out, errs := s.command("upgrade")
	pid := s.mainProcess()
	want := fmt.Sprintf("error: not upgraded: systemd still reports process %d as the main process of ", s.process.PID)
	if code != 1 || out != "" || !strings.Contains(errs, want) {
		t.Errorf("upgrade: %d %q %q", code, out, errs)
	}
	daemontest.Eventually(t, "the new process has ended", func() bool { return hasEnded(pid) })
	s.notes.Next(t, "STATUS=Serving on", "the last upgrade failed")
	load.More(50)
	load.WantNoneLost()
	if code, out, errs := s.command("reload"); code != 0 {
		t.Errorf("reload: %d %q %q", code, out, errs)
	}
	s.notes.Next(t, "RELOADING=1")

	s.deaf.Store(false)
	s.wantUpgrade()
	u.open()
	stream.wantWhole(t)
	s.wantExit(0)
}

func TestUpgradeOutsideSystemd(t *testing.T) {
	t.Parallel()
	s := newService(t, unit{
		config: forwarding("http://127.0.0.1:9", "", withoutTailnet), env: []string{"NOTIFY_SOCKET="},
	})
	s.run()
	s.log.Next(t, `"msg":"serving"`)
	code, out, errs := s.command("upgrade")
	if code != 1 || out != "" || !strings.Contains(errs, "not upgraded: systemd does not run this process with Type=notify; stop it and start the installed program instead") {
		t.Errorf("upgrade: %d %q %q", code, out, errs)
	}
	get(t, s.url()+"/health").Want(t, 200)
	s.wantStatus(0, "healthy: serving, with 1 warning\n", "start the installed program instead socket") // no other advice
}

// There is no systemd in a container, and sometimes no D-Bus on a host.
func TestUpgradeWithoutSystemctl(t *testing.T) {
	t.Parallel()
	s, program := installed(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	systemctl := strings.TrimSuffix(program, "oauth-proxyd") + "systemctl"
	installText(t, systemctl, "#!/bin/sh\necho 'Failed to connect to bus: Host is down' >&2\nexit 1\n")
	s.wantNoUpgrade("exit status 1: Failed to connect to bus: Host is down")
}

// The old process cannot take over again: systemd ends it before it starts the unit again.
func TestSuccessorCrashesLater(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, `drain_timeout = "1s"`, withoutTailnet)})
	old := s.process
	stream := u.openStream(t, newClient(t), s.url())
	if err := syscall.Kill(s.wantUpgrade(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		out, err := exec.CommandContext(t.Context(), "curl", "--silent", "--fail", "--max-time", "50", s.url()+"/health").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		waiting <- err
	}()
	old.Signal(t, syscall.SIGTERM)
	stream.wantCut(t, `"error_code":"draining"`)
	s.wantExit(75)
	s.run()
	if err := <-waiting; err != nil {
		t.Errorf("who came meanwhile: %v", err)
	}
}
