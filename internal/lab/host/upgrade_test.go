package host_test

import (
	"strings"
	"testing"
)

func TestUpgradeUnderLoadLosesNothingButLongStreams(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.configure("# an edit\n" + labHeader("edited"))
	edited := l.read(configFile)
	streams := []*stream{l.openStream(), l.openStream(), l.openStream()}
	load := l.load()
	load.more(100)
	socket := l.property(socketUnit, "ActiveEnterTimestampMonotonic")

	said := l.installDeb(deb(t, newVersion))
	load.more(100)
	load.wantNoneLost()

	l.wantAll(l.must("oauth-proxyd", "version"), newVersion)
	if got := l.read(configFile); got != edited {
		t.Errorf("the edited file is now\n%s", got)
	}
	l.wantSent("edited")
	if leftovers := l.must("sh", "-c", "ls /etc/oauth-proxyd"); leftovers != "oauth-proxyd.hcl\n" {
		t.Errorf("in /etc/oauth-proxyd: %s; dpkg said:\n%s", leftovers, said)
	}
	for _, s := range streams {
		s.wantCut()
	}
	if r := l.awaitLog("1.2.0 → 1.3.0, 3 streams cut"); r.Priority() != 4 {
		t.Errorf("the upgrade is reported with priority %d", r.Priority())
	}
	if _, metrics := l.get("http://" + proxyAddr + "/metrics"); !strings.Contains(metrics, "\nproxy_responses_cut_total{by=\"drain\"} 3\n") {
		t.Errorf("the cut streams are not counted:\n%s", metrics)
	}
	if again := l.property(socketUnit, "ActiveEnterTimestampMonotonic"); again != socket {
		t.Error("the socket was closed and opened again")
	}
	l.wantProperties(service, map[string]string{"ActiveState": "active", "NRestarts": "0"})
}

func TestUpgradeOfAHostThatNobodyAskedStartsNothing(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.installDeb(deb(t, newVersion))
	l.wantProperties(service, map[string]string{"ActiveState": "inactive"})
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "active", "UnitFileState": "enabled"})
	l.openStream()
	l.wantAll(l.awaitLog("serving")["VERSION"], newVersion)
}

func TestDowngrade(t *testing.T) {
	t.Parallel()
	l := boot(t)
	l.installDeb(deb(t, newVersion))
	t.Cleanup(l.showJournal)
	l.openStream()
	l.installDeb(deb(t, oldVersion))
	l.awaitLog("1.3.0 → 1.2.0, 1 stream cut")
	l.openStream()
}
