package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/lab/host"
)

// The README's commands install the package and have it upgraded, here by hand first.
func TestAptInstallsAndUpgradesFromTheRepository(t *testing.T) {
	t.Parallel()
	l, site := bootWithSite(t)
	key := newKey(t)
	site.serve(repository(t, key, time.Now(), oldVersion))
	l.must("sh", "-euc", commands(t, readmePage, "oauth-proxyd.sources"))
	l.configure("# an edit\n" + labHeader("edited"))
	s := l.openStream()
	l.wantAll(l.must("oauth-proxyd", "version"), oldVersion)

	site.serve(repository(t, key, time.Now(), oldVersion, newVersion))
	l.underLoad(func() { l.must("sh", "-euc", "apt-get update; apt-get --yes upgrade") })

	l.must("apt-get", "install", "--yes", "--allow-downgrades", "oauth-proxyd="+oldVersion+"-1")
	l.wantAll(l.must("oauth-proxyd", "version"), oldVersion)
	l.must("sh", "-euc", commands(t, packagesPage, "Origins-Pattern"))
	l.underLoad(func() { l.must("unattended-upgrade", "--verbose") })

	l.must("systemctl", "stop", service)
	s.wantCut() // by the stop alone
}

// underLoad upgrades from the old version to the new one and fails if a request is lost.
func (l *lab) underLoad(upgrade func()) {
	l.t.Helper()
	load := l.load()
	load.More(100)
	pid := l.mainPID()
	upgrade()
	load.More(100)
	load.WantNoneLost()
	l.wantAll(l.must("oauth-proxyd", "version"), newVersion)
	l.wantTakenOver(pid)
}

func TestAptRefusesWhatIsNotSignedByUs(t *testing.T) {
	t.Parallel()
	l, site := bootWithSite(t)
	key := newKey(t)
	good := repository(t, key, time.Now(), oldVersion)
	site.serve(good)
	fetch, _, _ := strings.Cut(commands(t, readmePage, "oauth-proxyd.sources"), "\napt ")
	l.must("sh", "-euc", fetch)

	const lists = "deb/dists/stable/"
	tests := []struct{ name, folder, want string }{
		{"expired", repository(t, key, time.Now().AddDate(0, 0, -91), oldVersion), "is expired"},
		{"signed by another key", repository(t, newKey(t), time.Now(), oldVersion), "NO_PUBKEY"},
		{"unsigned", changed(t, good, func(folder string) {
			outside(t, nil, "rm", filepath.Join(folder, lists, "InRelease"), filepath.Join(folder, lists, "Release.gpg"))
		}), "is not signed"},
		{"changed Release file", changed(t, good, func(folder string) {
			outside(t, nil, "sed", "-i", "s/^Origin: .*/Origin: Debian/", filepath.Join(folder, lists, "InRelease"))
		}), "BADSIG"},
		{"changed index", changed(t, good, func(folder string) {
			flip(t, folder, lists+"main/binary-*/Packages*")
			flip(t, folder, lists+"main/binary-*/by-hash/SHA256/*")
		}), "Hash Sum mismatch"},
		{"changed package", changed(t, good, func(folder string) { flip(t, folder, "deb/pool/main/*.deb") }), "Hash Sum mismatch"},
	}
	for _, tt := range tests {
		site.serve(tt.folder)
		if out := l.aptInstall(); out.Code == 0 || !strings.Contains(out.Stdout+out.Stderr, tt.want) {
			t.Errorf("%s: exit %d, want %q in:\n%s%s", tt.name, out.Code, tt.want, out.Stdout, out.Stderr)
		}
		if l.run("test", "-e", "/usr/sbin/oauth-proxyd").Code == 0 {
			t.Fatalf("%s: it is installed", tt.name)
		}
	}
	site.serve(good)
	if out := l.aptInstall(); out.Code != 0 {
		t.Errorf("unchanged: exit %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
}

// aptInstall forgets the index of the repository before.
func (l *lab) aptInstall() host.Output {
	l.t.Helper()
	return l.run("sh", "-c", "rm -rf /var/lib/apt/lists; apt-get update; apt-get install --yes oauth-proxyd")
}

// A cache between the host and the repository may still have the signed file of the previous
// release. The indexes that it names must still be there.
func TestAptWithThePreviousReleaseFile(t *testing.T) {
	t.Parallel()
	l, site := bootWithSite(t)
	key := newKey(t)
	before := repository(t, key, time.Now(), oldVersion)
	site.serve(changed(t, repository(t, key, time.Now(), oldVersion, newVersion), func(folder string) {
		const list = "deb/dists/stable/InRelease"
		content, err := os.ReadFile(filepath.Join(before, list))
		if err != nil {
			t.Fatal(err)
		}
		writeOutside(t, filepath.Join(folder, list), string(content))
	}))
	l.must("sh", "-euc", commands(t, readmePage, "oauth-proxyd.sources"))
	l.wantAll(l.must("oauth-proxyd", "version"), oldVersion)
}
