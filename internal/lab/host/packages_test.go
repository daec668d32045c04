package host_test

import (
	"os"
	"path/filepath"
	"testing"
)

// The two versions of the packages, as "make test-host" builds them.
const (
	oldVersion = "1.2.0"
	newVersion = "1.3.0"
)

// What the package brings.
const (
	configFile = "/etc/oauth-proxyd/oauth-proxyd.hcl"
	proxyAddr  = "127.0.0.1:8080"
)

// packagesDir names the folder with the packages.
const packagesDir = "OAUTH_PROXYD_PACKAGES"

// deb is the path of the Debian package of a version.
func deb(t *testing.T, version string) string {
	t.Helper()
	return onePackage(t, "oauth-proxyd_"+version+"-*.deb")
}

func onePackage(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(os.Getenv(packagesDir), pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 {
		t.Fatalf("packages %s in %s: %q, want one; make test-host builds them", pattern, packagesDir, found)
	}
	return found[0]
}

// install starts a host with the package on it.
func install(t *testing.T) *lab {
	t.Helper()
	l := boot(t)
	l.installDeb(deb(t, oldVersion))
	t.Cleanup(l.showJournal)
	return l
}

// installDeb does what apt does with a package, apart from the download.
func (l *lab) installDeb(file string) (said string) {
	l.t.Helper()
	inside := l.copyIn(file)
	out := l.run("dpkg", "--install", inside)
	if out.Code != 0 {
		l.t.Fatalf("dpkg --install: exit %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	return out.Stdout + out.Stderr
}

// configure appends to the shipped configuration.
func (l *lab) configure(more string) {
	l.t.Helper()
	l.write(configFile, l.read(configFile)+more)
}
