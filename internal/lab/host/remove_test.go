package host_test

import (
	"slices"
	"strings"
	"testing"
)

func TestPurgeLeavesNothingButTheUser(t *testing.T) {
	t.Parallel()
	l := boot(t)
	before := l.files()
	l.installDeb(deb(t, oldVersion))
	t.Cleanup(l.showJournal)
	l.openStream().body.Close()
	l.configure("# an edit\n" + hashedNames)
	l.must("systemctl", "reload", service)
	l.wantNameKey()

	l.must("dpkg", "--remove", "oauth-proxyd")
	l.wantGone("masked") // as Debian does it, so that nothing starts it without its program
	if l.run("test", "-e", configFile).Code != 0 {
		t.Error("remove took the configuration away, which is the purge's business")
	}
	l.installDeb(deb(t, newVersion))
	l.wantAll(l.read(configFile), "# an edit")
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "active", "UnitFileState": "enabled"})
	l.openStream().body.Close()

	l.must("dpkg", "--purge", "oauth-proxyd")
	l.wantGone("")
	for _, file := range l.files() {
		if !slices.Contains(before, file) {
			t.Errorf("left: %s", file)
		}
	}
	if out := l.run("getent", "passwd", "oauth-proxyd"); out.Code != 0 {
		t.Error("the system user is gone: its id may be given to another")
	}
}

// hashedNames is a setting that needs a key.
const hashedNames = "log {\n  identity = \"hashed\"\n}\n"

// wantNameKey: the key of the hashes was made, and only the daemon can read it.
func (l *lab) wantNameKey() {
	l.t.Helper()
	l.wantAll(l.must("stat", "--format=%a %s %U", "/var/lib/oauth-proxyd/identity.key"), "600 32 oauth-proxyd\n")
	l.wantAll(l.must("stat", "--format=%a %U", "/var/lib/oauth-proxyd"), "700 oauth-proxyd\n")
}

// propagated is a folder of systemd's own, in which 249 leaves an empty one for each service that
// had mounts of its own (PrivateMounts=), until the host is booted again.
const propagated = "/run/systemd/propagate"

// wantGone looks for what may run or be found by systemd. Units with the given load state may be
// left.
func (l *lab) wantGone(but string) {
	l.t.Helper()
	for line := range strings.Lines(l.must("systemctl", "list-units", "--all", "--no-legend", "--plain", "oauth-proxyd*")) {
		if state := strings.Fields(line)[1]; state != but {
			l.t.Errorf("a unit is left: %s", line)
		}
	}
	if out := l.run("pgrep", "--list-full", "oauth-proxyd"); out.Code != 1 {
		l.t.Errorf("processes are left: %s", out.Stdout)
	}
	if out := l.must("ss", "--listening", "--tcp", "--numeric", "--no-header", "sport = :8080"); out != "" {
		l.t.Errorf("the port is still in use: %s", out)
	}
	if out := l.must("find", "/run", "-path", propagated, "-prune", "-o", "-name", "*oauth-proxyd*", "-print"); out != "" {
		l.t.Errorf("left: %s", out)
	}
}

// files are those that packages bring or leave. Others write theirs all the time: dpkg, the
// journal, the man page index.
func (l *lab) files() []string {
	l.t.Helper()
	out := l.must("sh", "-c", `find / -xdev \( -path /proc -o -path /var/lib/dpkg -o -path /var/log -o -path /var/cache -o -path /var/tmp -o -path "$1" \) -prune -o -print`, "sh", propagated)
	var files []string
	for line := range strings.Lines(out) {
		files = append(files, strings.TrimSpace(line))
	}
	return files
}
