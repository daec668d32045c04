package packages_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// artifacts are what a release consists of.
func artifacts() []string {
	names := []string{"SHA256SUMS"}
	for _, arch := range []string{"amd64", "arm64"} {
		names = append(names,
			"oauth-proxyd_"+debVersion+"_"+arch+".deb",
			"oauth-proxyd_"+strings.TrimPrefix(tag, "v")+"_linux_"+arch+".tar.gz",
			"oauth-proxyd_"+strings.TrimPrefix(tag, "v")+"_linux_"+arch+".cdx.json")
	}
	return append(names, "oauth-proxyd-"+rpmVersion+"-1.x86_64.rpm", "oauth-proxyd-"+rpmVersion+"-1.aarch64.rpm")
}

func TestReproducible(t *testing.T) {
	t.Parallel()
	for _, name := range artifacts() {
		var texts [2]string
		for i, place := range places() {
			text, err := os.ReadFile(filepath.Join(place, "dist", name))
			if err != nil {
				t.Fatal(err)
			}
			texts[i] = string(text)
		}
		if texts[0] != texts[1] {
			t.Errorf("%s differs between two clones of the same commit", name)
		}
	}
}

func TestChecksums(t *testing.T) {
	t.Parallel()
	sums := built(t, "SHA256SUMS")
	out := must(t, "sh", "-c", `cd "$(dirname "$1")" && sha256sum --check --strict SHA256SUMS`, "sh", sums)
	for _, name := range artifacts()[1:] {
		if !strings.Contains(out, name+": OK\n") {
			t.Errorf("%s is not in SHA256SUMS:\n%s", name, out)
		}
	}
}

func TestLintian(t *testing.T) {
	t.Parallel()
	for _, arch := range []string{"amd64", "arm64"} {
		// Names of functions in the symbol table look misspelled, others in each build.
		out := must(t, "lintian", "--allow-root", "--suppress-tags", "spelling-error-in-binary", "-I", "-E", "--pedantic", "--fail-on", "none", built(t, "*_"+arch+".deb"))
		if out != "" {
			t.Errorf("%s: lintian has tags:\n%s", arch, out)
		}
	}
}

func TestDebControl(t *testing.T) {
	t.Parallel()
	deb := built(t, "*_amd64.deb")
	control := must(t, "dpkg-deb", "--field", deb)
	for _, want := range []string{"Package: oauth-proxyd", "Version: " + debVersion, "Depends: ca-certificates, systemd (>= 247)", "Architecture: amd64"} {
		if !strings.Contains(control, want+"\n") {
			t.Errorf("control has no %q:\n%s", want, control)
		}
	}
	if conffiles := must(t, "dpkg-deb", "--info", deb, "conffiles"); conffiles != "/etc/oauth-proxyd/oauth-proxyd.hcl\n" {
		t.Errorf("conffiles: %q", conffiles)
	}
	must(t, "dpkg", "--compare-versions", debVersion, "lt", "1.3.0-1")
}

// common is what both kinds of packages hold.
func common() []string {
	return []string{
		"/etc/oauth-proxyd/oauth-proxyd.hcl",
		"/usr/lib/systemd/system/oauth-proxyd.service",
		"/usr/lib/systemd/system/oauth-proxyd.socket",
		"/usr/lib/sysusers.d/oauth-proxyd.conf",
		"/usr/lib/tmpfiles.d/oauth-proxyd.conf",
		"/usr/sbin/oauth-proxyd",
		"/usr/share/bash-completion/completions/oauth-proxyd",
		"/usr/share/doc/oauth-proxyd/changelog.gz",
		"/usr/share/doc/oauth-proxyd/comparison.md",
		"/usr/share/doc/oauth-proxyd/compatibility.md",
		"/usr/share/doc/oauth-proxyd/configuration.md",
		"/usr/share/doc/oauth-proxyd/copyright",
		"/usr/share/doc/oauth-proxyd/monitoring/README.md",
		"/usr/share/doc/oauth-proxyd/monitoring/grafana-dashboard.json",
		"/usr/share/doc/oauth-proxyd/monitoring/oauth-proxyd.rules.long.test.yml",
		"/usr/share/doc/oauth-proxyd/monitoring/oauth-proxyd.rules.test.yml",
		"/usr/share/doc/oauth-proxyd/monitoring/oauth-proxyd.rules.yml",
		"/usr/share/doc/oauth-proxyd/monitoring/prometheus-targets.example.yml",
		"/usr/share/doc/oauth-proxyd/monitoring/prometheus.example.yml",
		"/usr/share/doc/oauth-proxyd/oauth-proxyd.hcl.example",
		"/usr/share/doc/oauth-proxyd/operating.md",
		"/usr/share/doc/oauth-proxyd/packages.md",
		"/usr/share/doc/oauth-proxyd/privacy.md",
		"/usr/share/doc/oauth-proxyd/recipes.md",
		"/usr/share/doc/oauth-proxyd/runbook.md",
		"/usr/share/doc/oauth-proxyd/several-hosts.md",
		"/usr/share/doc/oauth-proxyd/teams.md",
		"/usr/share/fish/vendor_completions.d/oauth-proxyd.fish",
		"/usr/share/man/man5/oauth-proxyd.hcl.5.gz",
		"/usr/share/man/man8/oauth-proxyd.8.gz",
	}
}

func TestDebContents(t *testing.T) {
	t.Parallel()
	want := append(common(),
		"/usr/share/doc/oauth-proxyd/README.Debian",
		"/usr/share/doc/oauth-proxyd/changelog.Debian.gz",
		"/usr/share/lintian/overrides/oauth-proxyd",
		"/usr/share/zsh/vendor-completions/_oauth-proxyd")
	for _, arch := range []string{"amd64", "arm64"} {
		listed := must(t, "dpkg-deb", "--contents", built(t, "*_"+arch+".deb"))
		checkFiles(t, regexp.MustCompile(`(?m)^-(\S+) (\S+) .* \.(/\S+)$`).FindAllStringSubmatch(listed, -1), "root/root", want)
	}
}

func TestRPMContents(t *testing.T) {
	t.Parallel()
	want := append(common(),
		"/usr/lib/systemd/system-preset/80-oauth-proxyd.preset",
		"/usr/share/doc/oauth-proxyd/README.RHEL",
		"/usr/share/zsh/site-functions/_oauth-proxyd")
	for _, arch := range []string{"x86_64", "aarch64"} {
		listed := must(t, "rpm", "-qp", "--queryformat", "[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} . ./%{FILENAMES}\n]", built(t, "*."+arch+".rpm"))
		listed = strings.ReplaceAll(listed, "./", "")
		checkFiles(t, regexp.MustCompile(`(?m)^-(\S+) (\S+) \. (/\S+)$`).FindAllStringSubmatch(listed, -1), "root/root", want)
	}
}

// checkFiles compares mode, owner and name of each file.
func checkFiles(t *testing.T, files [][]string, owner string, want []string) {
	t.Helper()
	var got []string
	for _, f := range files {
		got = append(got, f[3])
		mode := "rw-r--r--"
		if f[3] == "/usr/sbin/oauth-proxyd" {
			mode = "rwxr-xr-x"
		}
		if f[1] != mode || f[2] != owner {
			t.Errorf("%s is %s of %s, want %s of %s", f[3], f[1], f[2], mode, owner)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("files:\n%q\nwant:\n%q", got, want)
	}
}

// The .rpm has the scripts of packaging/rpm, keeps an edited configuration, and is older than the
// release that it is a candidate for.
func TestRPMHeader(t *testing.T) {
	t.Parallel()
	rpm := built(t, "*.x86_64.rpm")
	for tag, file := range map[string]string{"PREIN": "pre", "POSTIN": "post", "PREUN": "preun", "POSTUN": "postun"} {
		script, err := os.ReadFile(filepath.Join("../../../packaging/rpm", file))
		if err != nil {
			t.Fatal(err)
		}
		if got := must(t, "rpm", "-qp", "--queryformat", "%{"+tag+"}", rpm); !strings.Contains(got, strings.TrimSpace(string(script))) {
			t.Errorf("%s is not packaging/rpm/%s:\n%s", tag, file, got)
		}
	}
	flags := must(t, "rpm", "-qp", "--queryformat", "[%{FILEFLAGS:fflags} %{FILENAMES}\n]", rpm)
	if !strings.Contains(flags, "cn /etc/oauth-proxyd/oauth-proxyd.hcl\n") {
		t.Errorf("the configuration is not config(noreplace):\n%s", flags)
	}
	order := must(t, "rpm", "--eval", `%{lua: print(rpm.vercmp("`+rpmVersion+`-1", "1.3.0-1"))}`)
	if strings.TrimSpace(order) != "-1" {
		t.Errorf("%s against 1.3.0: %s", rpmVersion, order)
	}
}

// The binary is of the version of its package and built by the Go that go.mod names, and the
// software bill names what is linked into it.
func TestBinaryAndBill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, "dpkg-deb", "--extract", built(t, "*_amd64.deb"), dir)
	binary := filepath.Join(dir, "usr/sbin/oauth-proxyd")
	info := must(t, "go", "version", "-m", binary)
	toolchain := ": go" + must(t, "awk", `$1 == "go" { print $2 }`, filepath.Join(places()[0], "go.mod"))
	if !strings.HasPrefix(info, binary+toolchain) || !strings.Contains(info, "\tdep\ttailscale.com\t") {
		t.Errorf("want %s%sgo version -m:\n%s", binary, toolchain, info)
	}
	if text, err := os.ReadFile(binary); err != nil || !strings.Contains(string(text), strings.TrimPrefix(tag, "v")) {
		t.Errorf("the binary does not know its version: %v", err)
	}
	text, err := os.ReadFile(built(t, "*_linux_amd64.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(text, &bill); err != nil {
		t.Fatal(err)
	}
	named := make(map[string]bool)
	for _, c := range bill.Components {
		named[c.Name+" "+c.Version] = true
	}
	for _, found := range regexp.MustCompile(`(?m)^\tdep\t(\S+)\t(\S+)`).FindAllStringSubmatch(info, -1) {
		if !named[found[1]+" "+found[2]] {
			t.Errorf("the bill does not name %s %s", found[1], found[2])
		}
	}
}
