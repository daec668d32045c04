package packaging_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The manuals are clean for both programs that Debian shows them with.
func TestManuals(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../man/*")
	if err != nil || len(pages) != 2 {
		t.Fatalf("manuals %q, %v", pages, err)
	}
	for _, page := range pages {
		if out, err := try(t, ".", "mandoc", "-Tlint", "-W", "warning", seen(t, page)); err != nil || out != "" {
			t.Errorf("mandoc: %v\n%s", err, out)
		}
		absolute, err := filepath.Abs(page)
		if err != nil {
			t.Fatal(err)
		}
		if out := must(t, ".", "sh", "-c", `man --warnings -l "$1" 2>&1 >/dev/null`, "man", absolute); out != "" {
			t.Errorf("man:\n%s", out)
		}
	}
}

func TestScriptsAreValid(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"deb/preinst", "deb/postinst", "deb/prerm", "deb/postrm", "rpm/pre", "rpm/post", "rpm/preun", "rpm/postun"} {
		must(t, ".", "sh", "-n", seen(t, script))
	}
}

// A script that is called for something else, or on a host without systemd, does nothing and does
// not fail.
func TestScriptsWithNothingToDo(t *testing.T) {
	t.Parallel()
	for _, call := range [][]string{
		{"deb/preinst", "install"},
		{"deb/postinst", "triggered"},
		{"deb/prerm", "upgrade", "2"},
		{"deb/prerm", "failed-upgrade"},
		{"deb/postrm", "upgrade", "2"},
		{"deb/postrm", "failed-upgrade"},
		{"deb/postrm", "disappear"},
	} {
		// Only a builtin of the shell can be run.
		if out := must(t, ".", "env", "-i", "PATH=/nonexistent", "/bin/sh", "-c", `systemctl() { :; }; set -- "$@"; . "$0"`,
			"./"+seen(t, call[0]), call[1]); out != "" {
			t.Errorf("%q says: %s", call, out)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	seen(t, "version")
	tests := []struct{ description, want string }{
		{"v1.2.3", "1.2.3"},
		{"1.2.3", "1.2.3"},
		{"v1.3.0-rc.1", "1.3.0-rc.1"},
		{"v1.2.3-4-g0dffb23", "1.2.3+4.g0dffb23"},
		{"v1.3.0-rc.1-4-g0dffb23", "1.3.0-rc.1+4.g0dffb23"},
		{"v1.2.3-dirty", "1.2.3+dirty"},
		{"v1.2.3-4-g0dffb23-dirty", "1.2.3+4.g0dffb23.dirty"},
		{"devel", "0~devel"},
	}
	for _, tt := range tests {
		if got := strings.TrimSpace(must(t, ".", "./version", tt.description)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.description, got, tt.want)
		}
	}
}

// Without a tag the version is the commit's time and name, older than any release and newer than
// those of the commits before it.
func TestVersionWithoutTag(t *testing.T) {
	t.Parallel()
	repository := t.TempDir()
	script, err := filepath.Abs(seen(t, "version"))
	if err != nil {
		t.Fatal(err)
	}
	must(t, repository, "git", "init", "-q")
	must(t, repository, "env", "GIT_COMMITTER_DATE=2026-01-02T03:04:05+02:00", "git", "-c", "user.name=n", "-c", "user.email=e",
		"commit", "-q", "--allow-empty", "-m", "first")
	name := strings.TrimSpace(must(t, repository, "git", "describe", "--tags", "--always"))
	version := strings.TrimSpace(must(t, repository, script, name))
	if want := "0~git20260102010405." + name; version != want {
		t.Fatalf("%s, want %s", version, want)
	}
	for _, newer := range []string{"0~git20260102010406.0", "0.0.1~rc.1"} {
		must(t, ".", "dpkg", "--compare-versions", version, "lt", newer)
	}
}

// A release says what the changelog says of its version, and is not made where that says nothing.
func TestNotesOfARelease(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "packaging", "notes"), read(t, "notes"), 0o755)
	write(t, filepath.Join(root, "CHANGELOG.md"),
		"# Changelog\n\n## Unreleased\n\n- next\n\n## 1.2.30 - 2026-02-01\n\n- thirty\n\n## 1.2.3 - 2026-01-01\n\n### Added\n- three\n", 0o644)
	tests := []struct{ tag, want string }{
		{"v1.2.3", "### Added - three"},
		{"v1.2.30", "- thirty"},
		{"v1.2.30-rc.1", "- thirty"},
		{"v1.3.0-rc.1", "- next"},
	}
	for _, tt := range tests {
		if got := strings.Join(strings.Fields(must(t, root, "packaging/notes", tt.tag)), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.tag, got, tt.want)
		}
	}
	if out, err := try(t, root, "packaging/notes", "v1.3.0"); err == nil || !strings.Contains(out, "CHANGELOG.md has no section ## 1.3.0") {
		t.Errorf("a version that the changelog does not know: %v, %s", err, out)
	}
}

// The copyright file names every module that is linked in, and no other.
func TestCopyrightNamesEveryModule(t *testing.T) {
	t.Parallel()
	text := read(t, "deb/copyright")
	unlinked := make(map[string]bool)
	for _, found := range regexp.MustCompile(`(?m) (\S+\.\S+/\S+)/\*$`).FindAllStringSubmatch(text, -1) {
		unlinked[found[1]] = true
	}
	tags := regexp.MustCompile(`(?m)^TAGS := (.*)$`).FindStringSubmatch(read(t, "../Makefile"))
	for _, arch := range []string{"amd64", "arm64"} {
		linked := strings.Fields(must(t, "..", "env", "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0",
			"go", "list", "-deps", "-tags", tags[1], "-f", "{{with .Module}}{{.Path}}{{end}}", "./cmd/oauth-proxyd"))
		slices.Sort(linked)
		for _, module := range slices.Compact(linked) {
			delete(unlinked, module)
			if module != "oauth-proxyd" && !strings.Contains(text, " "+module+"/*\n") {
				t.Errorf("%s is linked in for %s and not named", module, arch)
			}
		}
	}
	if len(unlinked) > 0 {
		t.Errorf("named and not linked in: %v", unlinked)
	}
}

// What goreleaser.yaml takes from the tree is there; the rest prepare makes.
func TestSourcesExist(t *testing.T) {
	t.Parallel()
	prepared := read(t, "prepare")
	for _, found := range regexp.MustCompile(`\bsrc: "?([^\s,"}]+)`).FindAllStringSubmatch(read(t, "../goreleaser.yaml"), -1) {
		source := found[1]
		if made, ok := strings.CutPrefix(source, "bin/package/"); ok {
			stem := strings.TrimSuffix(made, ".gz")
			if !strings.Contains(prepared, "compress "+stem+" ") && !strings.HasPrefix(made, "completion.") {
				t.Errorf("prepare does not make %s", source)
			}
			continue
		}
		if files, err := filepath.Glob(filepath.Join("..", source)); err != nil || len(files) == 0 {
			t.Errorf("%s does not exist", source)
		}
	}
}

// Both tell the reader to paste the same line.
func TestReadmesAgreeAboutUnattendedUpgrades(t *testing.T) {
	t.Parallel()
	const line = `Unattended-Upgrade::Origins-Pattern { "origin=oauth-proxyd,suite=stable"; };`
	for _, file := range []string{"deb/README.Debian", "../docs/packages.md"} {
		if !strings.Contains(read(t, file), line) {
			t.Errorf("%s has no %s", file, line)
		}
	}
}

// Scripts that are run must be executable wherever the tree is copied to.
func TestScriptsAreExecutable(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"version", "prepare", "notes", "sign", "repository", "releases"} {
		info, err := os.Stat(script)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode()&0o111 == 0 {
			t.Errorf("%s is not executable", script)
		}
	}
}
