package packages_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The command of docs/packages.md verifies a download.
func TestChecksumsAreSigned(t *testing.T) {
	t.Parallel()
	dist := filepath.Dir(built(t, "SHA256SUMS.asc"))
	must(t, "sh", "-euc", `gpg --homedir "$1" --batch --export >"$2/oauth-proxyd.gpg"`, "sh", keyHome(), dist)
	page, err := os.ReadFile("../../../docs/packages.md")
	if err != nil {
		t.Fatal(err)
	}
	_, check, _ := strings.Cut(string(page), "\ngpgv ")
	check, _, _ = strings.Cut(check, "\n")
	out := must(t, "sh", "-euc", `cd "$1"; eval "gpgv $2"`, "sh", dist, check)
	if !strings.Contains(out, "Good signature") || !strings.Contains(out, filepath.Base(built(t, "*_amd64.deb"))+": OK\n") {
		t.Errorf("%s", out)
	}
	if _, err := os.Stat(filepath.Join(places()[1], "dist/SHA256SUMS.asc")); err == nil {
		t.Error("without a key there is a signature")
	}
}

// The packages in the repository are those of the release plus a signature.
func TestRepositoryOfThePackages(t *testing.T) {
	t.Parallel()
	to := filepath.Join(t.TempDir(), "repository")
	must(t, "sh", "-euc", `export `+withKey+`; make -C "$1" repository REPOSITORY="$3"`, "sh", places()[0], keyHome(), to)
	for _, pattern := range []string{"deb/pool/main/*_amd64.deb", "deb/pool/main/*_arm64.deb", "rpm/*.x86_64.rpm", "rpm/*.aarch64.rpm"} {
		found, err := filepath.Glob(filepath.Join(to, pattern))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %q, %v", pattern, found, err)
		}
		if strings.HasSuffix(pattern, ".rpm") {
			must(t, "sh", "-c", `! cmp -s "$1" "$2"`, "sh", found[0], built(t, filepath.Base(found[0])))
			must(t, "rpmsign", "--delsign", found[0])
		}
		must(t, "cmp", found[0], built(t, filepath.Base(found[0])))
	}
	for _, arch := range []string{"amd64", "arm64"} {
		index, err := os.ReadFile(filepath.Join(to, "deb/dists/stable/main/binary-"+arch+"/Packages"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(index), "Version: "+debVersion+"\n") || !strings.Contains(string(index), "Architecture: "+arch+"\n") {
			t.Errorf("the index for %s:\n%s", arch, index)
		}
	}
}
