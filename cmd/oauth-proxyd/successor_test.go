package main_test

import (
	"strings"
	"syscall"
	"testing"
)

// The slowest test of all: it takes those 30 s.
func TestASuccessorThatDoesNotServeIn30SecondsIsGivenUp(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s, program := installed(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	installText(t, program, "#!/bin/sh\nexec sleep 1000\n")
	code, out, errs := s.command("upgrade")
	if code != 1 || out != "" || !strings.Contains(errs, "it did not say within 30s that it serves") {
		t.Errorf("upgrade: %d %q %q", code, out, errs)
	}
	get(t, s.url()+"/echo").Want(t, 200)
}

func TestASuccessorThatCrashesIsTakenBack(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	old := s.process.PID
	stream := u.openStream(t, newClient(t), s.url())
	for range 2 { // it can happen again
		crashing := s.wantUpgrade()
		get(t, s.url()+"/echo").Want(t, 200)
		if err := syscall.Kill(crashing, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if pid := s.mainProcess(); pid != old {
			t.Errorf("process %d serves after the crash, want %d", pid, old)
		}
		s.log.Next(t, "the upgrade failed; this process serves", "signal: killed")
		get(t, s.url()+"/echo").Want(t, 200)
	}
	if code, out, errs := s.command("reload"); code != 0 {
		t.Errorf("reload: %d %q %q", code, out, errs)
	}
	u.open()
	stream.wantWhole(t)
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
}

// takenBack is a service whose process took over from one that crashed after an
// upgrade, with a stream from before that.
func takenBack(t *testing.T, u *upstream, inProxy, watchdogUsec string) (*service, *openStream) {
	t.Helper()
	s := start(t, unit{config: forwarding(u.URL, inProxy, withoutTailnet), env: []string{"WATCHDOG_USEC=" + watchdogUsec}})
	stream := u.openStream(t, newClient(t), s.url())
	if err := syscall.Kill(s.wantUpgrade(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if pid := s.mainProcess(); pid != s.process.PID {
		t.Errorf("process %d serves after the crash, want %d", pid, s.process.PID)
	}
	s.log.Next(t, "leaving, to be started anew")
	return s, stream
}

// To systemd the process that crashed is the main one, so that this one is not heard.
func TestAProcessThatTookBackLeavesBeforeTheWatchdogEndsIt(t *testing.T) {
	t.Parallel()
	s, stream := takenBack(t, newUpstream(t), `drain_timeout = "1s"`, "4000000")
	get(t, s.url()+"/echo").Want(t, 200) // for that long it serves
	stream.wantCut(t, `"error_code":"draining"`)
	s.wantExit(75)
}

// Its successor would not be heard either.
func TestAProcessThatTookBackAndLeavesIsNotUpgraded(t *testing.T) {
	t.Parallel()
	s, _ := takenBack(t, newUpstream(t), `drain_timeout = "1s"`, "8000000")
	code, out, errs := s.command("upgrade")
	if code != 1 || out != "" || !strings.Contains(errs, "leaves in a moment, and then the installed program is started") {
		t.Errorf("upgrade: %d %q %q", code, out, errs)
	}
	get(t, s.url()+"/echo").Want(t, 200)
	s.wantExit(75)
}
