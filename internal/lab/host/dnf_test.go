package host_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stub provides what Debian's packages have installed, which dnf cannot see.
const stub = `Name: debian
Version: 1
Release: 1
Summary: What dnf cannot see of Debian
License: none
BuildArch: noarch
Provides: ca-certificates, systemd = 252, /bin/sh
%description
See the summary.
%files
`

// bootWithDNF starts a host on which dnf can resolve the dependencies of our package.
func bootWithDNF(t *testing.T) (*lab, *site) {
	t.Helper()
	l, site := bootWithSite(t)
	l.write("/root/stub.spec", stub)
	l.must("rpmbuild", "-bb", "--quiet", "--define", "_rpmdir /root", "/root/stub.spec")
	l.rpm("--install", "/root/noarch/debian-1-1.noarch.rpm")
	return l, site
}

func TestDNFInstallsAndUpgradesFromTheRepository(t *testing.T) {
	t.Parallel()
	l, site := bootWithDNF(t)
	key := newKey(t)
	site.serve(repository(t, key, time.Now(), oldVersion))
	// On a terminal it asks; elsewhere it refuses to import the key.
	l.must("sh", "-euc", strings.ReplaceAll(commands(t, readmePage, "oauth-proxyd.repo"), "dnf install", "dnf install --assumeyes"))
	l.wantAll(l.must("oauth-proxyd", "version"), oldVersion)
	l.configure("# an edit\n" + labHeader("edited"))
	s := l.openStream()

	site.serve(repository(t, key, time.Now(), oldVersion, newVersion))
	l.underLoad(func() { l.must("dnf", "--assumeyes", "--refresh", "upgrade") })
	l.must("systemctl", "stop", service)
	s.wantCut() // by the stop alone

	l.must("dnf", "--assumeyes", "downgrade", "oauth-proxyd")
	l.wantAll(l.must("oauth-proxyd", "version"), oldVersion)
}

func TestDNFRefusesWhatIsNotSignedByUs(t *testing.T) {
	t.Parallel()
	l, site := bootWithDNF(t)
	key := newKey(t)
	good := repository(t, key, time.Now(), oldVersion)
	site.serve(good)
	fetch, _, _ := strings.Cut(commands(t, readmePage, "oauth-proxyd.repo"), "\ndnf ")
	l.must("sh", "-euc", fetch)
	l.must("dnf", "--assumeyes", "makecache") // takes the key

	foreign := repository(t, newKey(t), time.Now(), oldVersion)
	tests := []struct{ name, folder, want string }{
		{"index signed by another key", foreign, "Bad GPG signature"},
		{"unsigned index", changed(t, good, func(folder string) {
			outside(t, nil, "rm", filepath.Join(folder, "rpm/repodata/repomd.xml.asc"))
		}), "repomd.xml.asc"},
		{"changed index", changed(t, good, func(folder string) { flip(t, folder, "rpm/repodata/repomd.xml") }), "Bad GPG signature"},
		{"changed package", changed(t, good, func(folder string) { flip(t, folder, "rpm/*.rpm") }), "checksum"},
		{"package signed by another key", changed(t, good, func(folder string) {
			outside(t, nil, "cp", theRPM(t, foreign), filepath.Join(folder, "rpm"))
			reindex(t, key, folder)
		}), "is not installed"},
		{"unsigned package", changed(t, good, func(folder string) {
			outside(t, nil, "rpmsign", "--delsign", theRPM(t, folder))
			reindex(t, key, folder)
		}), "is not signed"},
	}
	for _, tt := range tests {
		site.serve(tt.folder)
		out := l.run("sh", "-c", "dnf clean all; dnf --assumeyes install oauth-proxyd")
		if out.Code == 0 || !strings.Contains(out.Stdout+out.Stderr, tt.want) {
			t.Errorf("%s: exit %d, want %q in:\n%s%s", tt.name, out.Code, tt.want, out.Stdout, out.Stderr)
		}
		if l.run("test", "-e", "/usr/sbin/oauth-proxyd").Code == 0 {
			t.Fatalf("%s: it is installed", tt.name)
		}
	}
	site.serve(good)
	l.must("sh", "-euc", "dnf clean all; dnf --assumeyes install oauth-proxyd")
}

func theRPM(t *testing.T, folder string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, "rpm", "*.rpm"))
	if err != nil || len(found) != 1 {
		t.Fatalf("packages in %s: %q, %v", folder, found, err)
	}
	return found[0]
}

// reindex makes an index of the packages that are there now, and signs it.
func reindex(t *testing.T, key signingKey, folder string) {
	t.Helper()
	index := filepath.Join(folder, "rpm/repodata/repomd.xml")
	outside(t, nil, "createrepo_c", "--quiet", filepath.Join(folder, "rpm"))
	outside(t, nil, "gpg", "--homedir", key.home, "--batch", "--yes", "--armor", "--detach-sign", index)
}
