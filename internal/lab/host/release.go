package host

import (
	"fmt"
	"slices"
	"strings"
)

// Release is a version of a distribution that hosts are made of.
type Release struct {
	// Name is for people: "Debian 12".
	Name string
	// Suite is what apt calls it: "bookworm".
	Suite string

	vendor   vendor
	packages []string // beside the minimal base
	unified  bool     // its systemd knows control groups of version 2 only
}

// vendor is what debootstrap has to know of a distribution.
type vendor struct {
	label      string // in the sources of apt
	folder     string // on a mirror that has several distributions
	script     string // of debootstrap, which has none for a newer suite; empty: the suite's own
	components string
}

// Releases are the ones on which the package is proven, in the order of their systemd.
func Releases() []Release {
	return []Release{
		small(debian("Debian 11", "bullseye")),
		small(ubuntu("Ubuntu 22.04", "jammy")),
		Usual(),
		small(ubuntu("Ubuntu 24.04", "noble")),
		small(debian("Debian 13", "trixie")),
		small(newest(ubuntu("Ubuntu 26.04", "resolute"))),
		small(newest(debian("Debian sid", "sid"))),
	}
}

// Usual is the release of the tests that ask for no other: Debian 12, with the programs that
// administrators and the package meet on a host.
func Usual() Release {
	r := debian("Debian 12", "bookworm")
	r.packages = []string{
		"systemd", "systemd-sysv", "dbus", "libpam-systemd", // boots, and serves systemctl
		"acl", "ca-certificates", "curl", "iproute2", "procps", // what an administrator looks with
		"man-db",      // package triggers as everywhere
		"nginx-light", // what a recipe puts in front; see disabled
		"prometheus-node-exporter",
		"rpm",
		"dnf", "unattended-upgrades", // what upgrades from a repository
	}
	return r
}

// ReleaseOf finds a release by its suite.
func ReleaseOf(suite string) (Release, error) {
	var suites []string
	for _, r := range Releases() {
		if r.Suite == suite {
			return r, nil
		}
		suites = append(suites, r.Suite)
	}
	slices.Sort(suites)
	return Release{}, fmt.Errorf("there is no host of release %q, but of %s", suite, strings.Join(suites, ", "))
}

func debian(name, suite string) Release {
	return Release{Name: name, Suite: suite, vendor: vendor{label: "Debian", folder: "debian", components: "main"}}
}

func ubuntu(name, suite string) Release {
	return Release{Name: name, Suite: suite, vendor: vendor{label: "Ubuntu", folder: "ubuntu", script: "gutsy", components: "main,universe"}}
}

// small has only what the package needs, and what the tests of its life look with: half a minute to
// make.
func small(r Release) Release {
	r.packages = []string{"systemd", "systemd-sysv", "dbus", "ca-certificates", "iproute2", "procps", "tzdata"}
	if r.Suite == keyringSuite {
		r.packages = append(r.packages, "ubuntu-keyring")
	}
	return r
}

// newest is for systemd 258 and later.
func newest(r Release) Release {
	r.unified = true
	return r
}
