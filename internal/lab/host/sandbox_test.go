package host_test

import (
	"strconv"
	"strings"
	"testing"
)

// exposure is the most that "systemd-analyze security" may say.
const exposure = 1.1

func TestSandboxOfTheRunningUnit(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.openStream().body.Close()
	out := l.must("systemd-analyze", "security", "--no-pager", service)
	_, rest, _ := strings.Cut(out, "Overall exposure level for "+service+": ")
	score, err := strconv.ParseFloat(strings.Fields(rest + " none")[0], 64)
	if err != nil || score > exposure {
		t.Errorf("the exposure is %v, %v; at most %v is wanted:\n%s", score, err, exposure, out)
	}
	t.Logf("systemd-analyze security: %v", score)

	pid := strconv.Itoa(l.mainPID())
	status := l.read("/proc/" + pid + "/status")
	for _, line := range []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, line+"\n") {
			t.Errorf("the process has not %q", line)
		}
	}
	if uid := l.must("stat", "--format=%U", "/proc/"+pid); uid != "oauth-proxyd\n" {
		t.Errorf("it runs as %s", uid)
	}
	l.wantAll(l.must("stat", "--format=%a %U %G", "/run/oauth-proxyd/admin.sock"), "660 oauth-proxyd oauth-proxyd")
}

func TestOnlyTheGroupMayCommand(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.openStream().body.Close()
	l.must("useradd", "--system", "visitor")
	l.must("useradd", "--system", "--groups", "oauth-proxyd", "commander")
	for user, code := range map[string]int{"visitor": 77, "commander": 0} {
		if out := l.run("runuser", "--user", user, "--", "oauth-proxyd", "reload"); out.Code != code {
			t.Errorf("reload as %s: exit %d, want %d: %s", user, out.Code, code, out.Stderr)
		}
	}
}
