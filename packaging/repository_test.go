package packaging_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The time of a repository of these tests, and of the packages in it.
const someTime = "1790000000" // 2026-09-21

// makeKey makes a key to sign with, and returns the folder of GnuPG that has it.
func makeKey(t *testing.T) (home string) {
	t.Helper()
	home = t.TempDir()
	t.Cleanup(func() {
		if out, err := exec.Command("gpgconf", "--homedir", home, "--kill", "all").CombinedOutput(); err != nil {
			t.Errorf("ending gpg-agent: %v\n%s", err, out)
		}
	})
	must(t, ".", "gpg", "--homedir", home, "--batch", "--quiet", "--faked-system-time", "20240101T000000",
		"--passphrase", "", "--quick-generate-key", "packages of a test", "rsa2048", "sign", "never")
	return home
}

// withKey is an environment that holds the key itself.
func withKey(t *testing.T, home string) []string {
	t.Helper()
	return []string{"SIGNING_KEY=" + must(t, ".", "gpg", "--homedir", home, "--batch", "--armor", "--export-secret-keys")}
}

// makePackages makes small packages with the names of our own.
func makePackages(t *testing.T, folder, version string) {
	t.Helper()
	work := t.TempDir()
	for _, arch := range []string{"amd64", "arm64"} {
		write(t, filepath.Join(work, arch, "DEBIAN/control"), fmt.Sprintf("Package: oauth-proxyd\nVersion: %s-1\n"+
			"Architecture: %s\nMaintainer: n <n@example.invalid>\nDescription: for a test\n", version, arch), 0o644)
		must(t, folder, "dpkg-deb", "--build", filepath.Join(work, arch), fmt.Sprintf("oauth-proxyd_%s-1_%s.deb", version, arch))
	}
	write(t, filepath.Join(work, "spec"), fmt.Sprintf("Name: oauth-proxyd\nVersion: %s\nRelease: 1\nSummary: for a test\n"+
		"License: none\nBuildArch: noarch\n%%description\nfor a test\n%%files\n", version), 0o644)
	must(t, folder, "env", "SOURCE_DATE_EPOCH="+someTime, "rpmbuild", "-bb", "--quiet", "--define", "_topdir "+work, "--define", "_rpmdir "+folder,
		"--define", "_build_name_fmt %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm", "--define", "use_source_date_epoch_as_buildtime 1",
		filepath.Join(work, "spec"))
}

// makeRepository runs the script with no other key in its environment than the given one.
func makeRepository(t *testing.T, environment []string, to string, packages ...string) (string, error) {
	t.Helper()
	seen(t, "key")
	command := append([]string{"env", "-u", "SIGNING_KEY", "-u", "SIGNING_KEY_ID", "SOURCE_DATE_EPOCH=" + someTime}, environment...)
	return try(t, ".", append(append(command, "./"+seen(t, "repository"), to, "https://example.invalid/here"), packages...)...)
}

func TestRepositoryHasAllVersionsReproducibly(t *testing.T) {
	t.Parallel()
	older, newer, to := t.TempDir(), t.TempDir(), t.TempDir()
	makePackages(t, older, "1.2.0")
	makePackages(t, newer, "1.10.0")
	home := makeKey(t)
	one, other := filepath.Join(to, "one"), filepath.Join(to, "other")
	for folder, environment := range map[string][]string{one: withKey(t, home), other: {"GNUPGHOME=" + home, "SIGNING_KEY_ID=packages of a test"}} {
		for range 2 { // the second replaces the first
			if out, err := makeRepository(t, environment, folder, newer, older); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
	}
	must(t, ".", "diff", "--recursive", one, other)

	release := must(t, ".", "gpgv", "--keyring", filepath.Join(one, "oauth-proxyd.gpg"), "--output", "-", filepath.Join(one, "deb/dists/stable/InRelease"))
	for _, want := range []string{
		"Origin: oauth-proxyd", "Label: oauth-proxyd", "Suite: stable", "Codename: stable", "Components: main", "Architectures: amd64 arm64",
		"Acquire-By-Hash: yes", "Date: Mon, 21 Sep 2026 14:13:20 UTC", "Valid-Until: Sun, 20 Dec 2026 14:13:20 UTC",
	} {
		if !strings.Contains(release, want+"\n") {
			t.Errorf("Release has no %q:\n%s", want, release)
		}
	}
	for _, arch := range []string{"amd64", "arm64"} {
		index := filepath.Join(one, "deb/dists/stable/main/binary-"+arch)
		all := must(t, ".", "sed", "-n", "s/^Version: //p", filepath.Join(index, "Packages"))
		kept := must(t, ".", "sh", "-c", `grep --no-filename ^Version: "$1"/by-hash/SHA256/* | sort | uniq -c | tr -s ' '`, "sh", index)
		if all != "1.2.0-1\n1.10.0-1\n" || kept != " 1 Version: 1.10.0-1\n 2 Version: 1.2.0-1\n" {
			t.Errorf("versions for %s: %q, and in all indexes %q", arch, all, kept)
		}
	}
	must(t, ".", "gpgv", "--keyring", filepath.Join(one, "oauth-proxyd.gpg"), filepath.Join(one, "rpm/repodata/repomd.xml.asc"), filepath.Join(one, "rpm/repodata/repomd.xml"))
}

func TestRepositoryThatCannotBeMade(t *testing.T) {
	t.Parallel()
	empty, packages, same, others, to := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	makePackages(t, packages, "1.2.0")
	write(t, filepath.Join(same, "oauth-proxyd_1.2.0-1_amd64.deb"), "not the same", 0o644)
	write(t, filepath.Join(others, "letter"), "dear", 0o644)
	home := makeKey(t)
	key := withKey(t, home)
	public := must(t, ".", "gpg", "--homedir", home, "--batch", "--armor", "--export")
	two := key[0] + withKey(t, makeKey(t))[0][len("SIGNING_KEY="):]
	tests := []struct {
		name        string
		environment []string
		to          string
		packages    []string
		want        string
	}{
		{"no key", nil, "x", []string{packages}, "error: no key to sign with\nhint: set SIGNING_KEY "},
		{"not a key", []string{"SIGNING_KEY=secret"}, "x", []string{packages}, "error: SIGNING_KEY is not a secret key in ASCII armor\n"},
		{"public key", []string{"SIGNING_KEY=" + public}, "x", []string{packages}, "error: there is no secret key in SIGNING_KEY\n"},
		{"two keys", []string{two}, "x", []string{packages}, "error: there are several keys to sign with\nhint: set SIGNING_KEY_ID "},
		{"unknown key", []string{"GNUPGHOME=" + empty, "SIGNING_KEY_ID=nobody"}, "x", []string{packages}, `error: gpg has no secret key "nobody"`},
		{"no packages", key, "x", []string{empty}, "error: no oauth-proxyd_*.deb in " + empty + "\nhint: make package "},
		{"no folder", key, "x", []string{empty + "/y"}, "error: no such folder: " + empty + "/y\n"},
		{"two of a name", key, "x", []string{packages, same}, "error: there are two different oauth-proxyd_1.2.0-1_amd64.deb\n"},
		{"something else", key, others, []string{packages}, "error: " + others + " exists and is not a repository\n"},
		{"no time", append(key, "SOURCE_DATE_EPOCH=today"), "x", []string{packages}, `error: SOURCE_DATE_EPOCH is not a number of seconds: "today"`},
		{"no days", append(key, "VALID_DAYS=0"), "x", []string{packages}, `error: VALID_DAYS is not a number of days: "0"`},
	}
	for _, tt := range tests {
		folder := tt.to
		if folder == "x" {
			folder = filepath.Join(to, "x")
		}
		out, err := makeRepository(t, tt.environment, folder, tt.packages...)
		if err == nil || !strings.Contains(out, tt.want) {
			t.Errorf("%s: %v, want %q in:\n%s", tt.name, err, tt.want, out)
		}
		if _, err := os.Stat(filepath.Join(to, "x")); err == nil {
			t.Errorf("%s: there is a repository", tt.name)
		}
	}
	if read(t, filepath.Join(others, "letter")) != "dear" {
		t.Error("the other folder was touched")
	}
}

// fakeGH stands for GitHub's command, with releases in folders.
const fakeGH = `#!/bin/sh -eu
case "$1 $2" in
"release list") ls "$RELEASES" ;;
"release download") while [ "$1" != --dir ]; do tag=$2; [ "$1" != download ] || found=$tag; shift; done; cp "$RELEASES/$found"/* "$2" ;;
esac
`

func TestReleasesAreCheckedWithTheKey(t *testing.T) {
	t.Parallel()
	seen(t, "key")
	releases, bin := t.TempDir(), t.TempDir()
	write(t, filepath.Join(bin, "gh"), fakeGH, 0o755)
	ours, foreign := makeKey(t), makeKey(t)
	release := func(tag, home string) {
		folder := filepath.Join(releases, tag)
		write(t, filepath.Join(folder, "notes"), "", 0o644)
		makePackages(t, folder, strings.TrimPrefix(tag, "v"))
		must(t, folder, "sh", "-c", "sha256sum *.deb *.rpm >SHA256SUMS")
		must(t, ".", append(append([]string{"env"}, withKey(t, home)...), "./"+seen(t, "sign"), filepath.Join(folder, "SHA256SUMS"), filepath.Join(folder, "SHA256SUMS.asc"))...)
	}
	release("v1.2.0", ours)
	release("v1.3.0", foreign)
	download := func() (string, string, error) {
		to := t.TempDir()
		out, err := try(t, ".", append(append([]string{"env", "RELEASES=" + releases, "PATH=" + bin + ":/usr/bin:/bin"}, withKey(t, ours)...), "./"+seen(t, "releases"), to, "9")...)
		return to, out, err
	}
	to, out, err := download()
	if err != nil || !strings.Contains(out, "v1.2.0: checked\n") || !strings.Contains(out, "LEFT OUT: v1.3.0: its SHA256SUMS is not signed with the key") {
		t.Fatalf("%v\n%s", err, out)
	}
	if found := must(t, to, "find", ".", "-name", "*.deb", "-o", "-name", "*.rpm"); strings.Count(found, "/v1.2.0/") != 3 || strings.Contains(found, "v1.3.0") {
		t.Errorf("taken:\n%s", found)
	}

	must(t, filepath.Join(releases, "v1.2.0"), "cp", "oauth-proxyd_1.2.0-1_amd64.deb", "oauth-proxyd_1.2.1-1_amd64.deb")
	if _, out, err := download(); err == nil || !strings.Contains(out, "oauth-proxyd_1.2.1-1_amd64.deb\nerror: v1.2.0 has packages that its SHA256SUMS does not name") {
		t.Errorf("a package beside those that are signed: %v\n%s", err, out)
	}
}
