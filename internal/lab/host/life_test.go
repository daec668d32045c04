package host_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/host"
)

// readmeFile names the README of the project. With it the lives are longer, an image that is
// missing is made, and the README gets the table of the systems that passed.
const readmeFile = "OAUTH_PROXYD_README"

// life is how much happens in the life of a package.
type life struct {
	requests int // at least, before and after each change
	restarts int
	upgrades int // there and back
	streams  int // that last through the upgrades
	deltas   int // events of each: five a second
}

func shortLife() life { return life{requests: 60, restarts: 2, upgrades: 1, streams: 5, deltas: 60} }

func longLife() life {
	return life{requests: 300, restarts: 10, upgrades: 3, streams: 100, deltas: 300}
}

// The package lives on every release whose image is there: "make test-host" makes those that it
// can, and names the others.
func TestLife(t *testing.T) {
	readme := os.Getenv(readmeFile)
	amount := shortLife()
	if readme != "" {
		amount = longLife()
	}
	passed := &systems{}
	t.Run("on", func(t *testing.T) {
		for _, release := range host.Releases() {
			made, err := host.Made(release)
			if err != nil {
				t.Fatal(err)
			}
			if !made && readme == "" {
				continue
			}
			t.Run(release.Name, func(t *testing.T) {
				t.Parallel()
				l := bootRelease(t, release)
				t.Cleanup(l.showJournal)
				l.live(amount)
				passed.add(t, release, l)
			})
		}
	})
	if readme != "" && !t.Failed() {
		passed.write(t, readme)
	}
}

func (l *lab) live(a life) {
	before := l.files()
	l.installDeb(deb(l.t, oldVersion))
	l.wantInstalled()
	l.wantFirstRequestServed()

	load := l.load()
	load.More(a.requests)
	l.reloadUnder(load, a)
	for range a.restarts {
		l.must("systemctl", "restart", service)
		load.More(a.requests)
	}
	stalled := l.upgradeUnder(load, a)
	l.must("systemctl", "stop", socketUnit, service)
	stalled.wantCut() // now, and not by an upgrade
	l.wantStopped()
	l.crashAfterUpgrade(a)

	l.must("dpkg", "--remove", "oauth-proxyd")
	l.wantGone("masked")
	l.installDeb(deb(l.t, newVersion))
	l.wantSent("last") // the edited file was kept
	l.must("dpkg", "--purge", "oauth-proxyd")
	l.wantGone("")
	for _, file := range l.files() {
		if !slices.Contains(before, file) {
			l.t.Errorf("left: %s", file)
		}
	}
}

func (l *lab) wantInstalled() {
	l.t.Helper()
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "active", "UnitFileState": "enabled"})
	l.wantProperties(service, map[string]string{"ActiveState": "inactive", "LoadState": "loaded"})
	if failed := l.must("systemctl", "list-units", "--failed", "--no-legend", "--plain", "oauth-proxyd*"); failed != "" {
		l.t.Errorf("failed units: %s", failed)
	}
	// What this systemd does not know of our units it would say once more.
	if said := l.run("systemd-analyze", "verify", "--man=no", socketUnit, service); strings.Contains(said.Stderr, "oauth-proxyd.") {
		l.t.Errorf("this systemd says of the units:\n%s", said.Stderr)
	}
}

func (l *lab) wantFirstRequestServed() {
	l.t.Helper()
	l.openStream().body.Close()
	if got, want := l.received("/v1/messages", "Anthropic-Beta"), "interleaved-thinking-2025-05-14,oauth-2025-04-20"; got != want {
		l.t.Errorf("the API received the betas %q, want %q", got, want)
	}
	l.wantProperties(service, map[string]string{"ActiveState": "active", "User": "oauth-proxyd", "NRestarts": "0"})
}

// reloadUnder changes the configuration, for the worse in between.
func (l *lab) reloadUnder(load *daemontest.Load, a life) {
	l.t.Helper()
	pid, shipped := l.mainPID(), l.read(configFile)
	l.write(configFile, shipped+labHeader("first"))
	l.must("systemctl", "reload", service)
	l.wantSent("first")
	l.write(configFile, shipped+"nonsense\n")
	if out := l.run("systemctl", "reload", service); out.Code == 0 {
		l.t.Error("systemctl reload succeeded with a bad file")
	}
	l.wantSent("first")
	l.write(configFile, shipped+labHeader("last"))
	l.must("systemctl", "reload", service)
	l.wantSent("last")
	load.More(a.requests)
	if l.mainPID() != pid {
		l.t.Error("a reload started another process")
	}
}

// upgradeUnder installs the newer version, and the older one again, and returns a stream that is
// still open. It ends the load.
func (l *lab) upgradeUnder(load *daemontest.Load, a life) *stream {
	l.t.Helper()
	stalled := l.openStream()
	whole := make(chan error, a.streams)
	for range a.streams {
		go func() { whole <- l.readWhole(message(fmt.Sprintf("slow-%d", a.deltas), true), a.deltas) }()
	}
	daemontest.Eventually(l.t, "the streams are open", func() bool { return l.inFlight() > a.streams })
	opened := l.property(socketUnit, "ActiveEnterTimestampMonotonic")
	for range a.upgrades {
		for _, version := range []string{newVersion, oldVersion} {
			l.wantHandOver(version)
			load.More(a.requests)
		}
	}
	load.WantNoneLost()
	for range a.streams {
		if err := <-whole; err != nil {
			l.t.Error(err)
		}
	}
	if again := l.property(socketUnit, "ActiveEnterTimestampMonotonic"); again != opened {
		l.t.Error("the socket was closed and opened again")
	}
	if n := stalled.lines.Buffered(); n != 0 {
		l.t.Errorf("the stream that stalls got %d bytes", n)
	}
	return stalled
}

// wantHandOver installs a version in the place of another that serves.
func (l *lab) wantHandOver(version string) {
	l.t.Helper()
	pid := l.mainPID()
	said := l.installDeb(deb(l.t, version))
	if now := l.mainPID(); now == pid || now == 0 {
		l.t.Fatalf("process %d served before, %d serves now; dpkg said:\n%s", pid, now, said)
	}
	l.wantProperties(service, map[string]string{"ActiveState": "active", "NRestarts": "0"})
	l.wantAll(l.health(), fmt.Sprintf(`"version": %q`, version))
	l.wantSent("last")
}

func (l *lab) wantStopped() {
	l.t.Helper()
	l.wantProperties(service, map[string]string{"ActiveState": "inactive", "Result": "success"})
	if out := l.run("pgrep", "--list-full", "oauth-proxyd"); out.Code != 1 {
		l.t.Errorf("processes are left: %s", out.Stdout)
	}
	l.must("systemctl", "start", socketUnit)
	l.wantSent("last") // the next request starts it
}

// crashAfterUpgrade kills a process that systemd did not start itself.
func (l *lab) crashAfterUpgrade(a life) {
	l.t.Helper()
	load := l.load()
	load.More(a.requests)
	l.wantHandOver(newVersion)
	daemontest.Eventually(l.t, "the process before is gone", func() bool {
		return strings.TrimSpace(l.run("pgrep", "--count", "--exact", "oauth-proxyd").Stdout) == "1"
	})
	load.More(a.requests)
	k := l.kill()
	load.More(a.requests)
	load.WantNoneLost(k)
	l.wantProperties(service, map[string]string{"ActiveState": "active", "NRestarts": "1"})
	l.wantNoComplaints()
}
