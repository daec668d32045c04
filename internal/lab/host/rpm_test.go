package host_test

import (
	"slices"
	"strings"
	"testing"
)

func rpm(t *testing.T, version string) string {
	t.Helper()
	return onePackage(t, "oauth-proxyd-"+version+"-*.rpm")
}

// rpm runs rpm without the packages that Debian has under other names, and against a database that
// the host's own packages are not in.
func (l *lab) rpm(args ...string) string {
	l.t.Helper()
	out := l.run("rpm", append([]string{"--nodeps", "--force-debian"}, args...)...)
	if out.Code != 0 {
		l.t.Fatalf("rpm %q: exit %d\n%s%s", args, out.Code, out.Stdout, out.Stderr)
	}
	return out.Stdout + out.Stderr
}

func TestRPMFileList(t *testing.T) {
	t.Parallel()
	l := boot(t)
	file := l.copyIn(rpm(t, oldVersion))
	list := l.must("rpm", "--query", "--list", "--package", file)
	l.wantAll(list,
		"/usr/sbin/oauth-proxyd\n", "/etc/oauth-proxyd\n", configFile+"\n",
		"/usr/lib/systemd/system/oauth-proxyd.service\n", "/usr/lib/systemd/system/oauth-proxyd.socket\n",
		"/usr/lib/sysusers.d/oauth-proxyd.conf\n", "/usr/lib/tmpfiles.d/oauth-proxyd.conf\n",
	)
	for line := range strings.Lines(list) {
		if strings.Contains(strings.ToLower(line), "debian") {
			t.Errorf("it has %s", line)
		}
	}
	if config := l.must("rpm", "--query", "--configfiles", "--package", file); config != configFile+"\n" {
		t.Errorf("its configuration files: %s", config)
	}
}

func TestRPMLife(t *testing.T) {
	t.Parallel()
	l := boot(t)
	t.Cleanup(l.showJournal)
	before := l.files()
	l.rpm("--install", l.copyIn(rpm(t, oldVersion)))
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "active", "UnitFileState": "enabled"})
	l.configure("# an edit\n" + labHeader("edited") + hashedNames)
	s := l.openStream()
	l.wantNameKey()
	load := l.load()
	load.More(50)
	pid := l.mainPID()

	l.rpm("--upgrade", l.copyIn(rpm(t, newVersion)))
	load.More(50)
	load.WantNoneLost()
	l.wantTakenOver(pid)
	l.wantAll(l.must("oauth-proxyd", "version"), newVersion)

	l.rpm("--erase", "oauth-proxyd")
	s.wantCut()
	l.wantGone("")
	left := slices.DeleteFunc(l.files(), func(f string) bool {
		return slices.Contains(before, f) || strings.HasPrefix(f, "/root/.rpmdb") || strings.HasPrefix(f, "/var/lib/rpm")
	})
	if !slices.Equal(left, []string{"/etc/oauth-proxyd", configFile + ".rpmsave"}) {
		t.Errorf("left: %q", left)
	}
}

func TestRPMDisabledStaysDisabled(t *testing.T) {
	t.Parallel()
	l := boot(t)
	l.rpm("--install", l.copyIn(rpm(t, oldVersion)))
	l.openStream().body.Close()
	l.must("systemctl", "disable", "--now", socketUnit)
	l.rpm("--upgrade", l.copyIn(rpm(t, newVersion)))
	l.awaitLog("upgraded: 1.2.0 → 1.3.0")
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "inactive", "UnitFileState": "disabled"})
}

func TestRPMWithThePortTaken(t *testing.T) {
	t.Parallel()
	l := boot(t)
	other, err := l.Listen("tcp", "0.0.0.0:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	said := l.rpm("--install", l.copyIn(rpm(t, oldVersion)))
	l.wantAll(said, "8080", "systemctl start oauth-proxyd.socket")
	l.wantAll(l.must("rpm", "--query", "oauth-proxyd"), oldVersion)
}
