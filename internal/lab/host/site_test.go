package host_test

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"oauth-proxyd/internal/lab/labapi"
)

// site serves a repository on the host, at the address that the README names and with a certificate
// that the host trusts, so that the README's commands are tested unchanged.
type site struct{ folder atomic.Value }

// bootWithSite starts a host whose apt and dnf have no other source of packages.
func bootWithSite(t *testing.T) (*lab, *site) {
	t.Helper()
	l := boot(t)
	t.Cleanup(l.showJournal)
	listener, err := l.Listen("tcp", "127.0.0.2:443")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{}
	name, path := siteAddress(t)
	server := httptest.NewUnstartedServer(http.StripPrefix(path, s))
	server.Listener.Close()
	server.Listener = listener
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	certificate, trusted, err := labapi.NewCertificate(name)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	l.must("sh", "-euc", `rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*; mkdir -p /etc/yum.repos.d /etc/pki/rpm-gpg
		echo "127.0.0.2 $1" >>/etc/hosts; echo "$2" >>/etc/ssl/certs/ca-certificates.crt`, "sh", name, string(trusted))
	return l, s
}

// siteAddress is where the README fetches the key of the repository.
func siteAddress(t *testing.T) (name, path string) {
	t.Helper()
	found := regexp.MustCompile(`https://([^/]+)(/\S*)/oauth-proxyd\.sources`).FindStringSubmatch(commands(t, readmePage, "oauth-proxyd.sources"))
	if found == nil {
		t.Fatal("README.md does not say where the repository is")
	}
	return found[1], found[2]
}

// serve replaces the repository.
func (s *site) serve(folder string) { s.folder.Store(folder) }

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Header.Del("If-Modified-Since") // two repositories of a test may be of the same second
	http.FileServer(http.Dir(s.folder.Load().(string))).ServeHTTP(w, r)
}

// signingKey is a secret key and the folder of GnuPG that has it.
type signingKey struct{ armored, home string }

// newKey makes a key that is older than every repository of these tests.
func newKey(t *testing.T) signingKey {
	t.Helper()
	home := t.TempDir()
	t.Cleanup(func() {
		if out, err := exec.Command("gpgconf", "--homedir", home, "--kill", "all").CombinedOutput(); err != nil {
			t.Errorf("ending gpg-agent: %v\n%s", err, out)
		}
	})
	gpg := []string{"--homedir", home, "--batch", "--quiet"}
	outside(t, nil, "gpg", append(gpg, "--faked-system-time", "20240101T000000", "--passphrase", "",
		"--quick-generate-key", "packages of a test", "rsa3072", "sign", "never")...)
	return signingKey{outside(t, nil, "gpg", append(gpg, "--armor", "--export-secret-keys")...), home}
}

// repository makes a repository with make, as a release does.
func repository(t *testing.T, key signingKey, made time.Time, versions ...string) (folder string) {
	t.Helper()
	packages := t.TempDir()
	folder = filepath.Join(t.TempDir(), "repository")
	for _, version := range versions {
		for _, file := range []string{deb(t, version), rpm(t, version)} {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			writeOutside(t, filepath.Join(packages, filepath.Base(file)), string(content))
		}
	}
	environment := []string{"SIGNING_KEY=" + key.armored, fmt.Sprintf("SOURCE_DATE_EPOCH=%d", made.Unix())}
	outside(t, environment, "make", "--no-print-directory", "-C", "../../..", "repository", "PACKAGES="+packages, "REPOSITORY="+folder)
	return folder
}

// changed is a copy of a repository that an attacker has changed.
func changed(t *testing.T, folder string, change func(folder string)) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "repository")
	if err := os.CopyFS(to, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	change(to)
	return to
}

// flip changes the last byte of each file that matches.
func flip(t *testing.T, folder, pattern string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s in %s: %q, %v", pattern, folder, files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(content) > 0 {
			content[len(content)-1] ^= 1
		}
		writeOutside(t, file, string(content))
	}
}

func writeOutside(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// outside runs a command on this machine.
func outside(t *testing.T, environment []string, name string, args ...string) (stdout string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	// The options of the make that runs these tests are not for another one.
	cmd.Env = append(os.Environ(), append(environment, "MAKEFLAGS=", "MAKELEVEL=")...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v; .ci/deps installs what the tests need\n%s%s", name, args, err, out, stderr.String())
	}
	return string(out)
}

// The documents whose commands are run.
const (
	readmePage   = "../../../README.md"
	packagesPage = "../../../docs/packages.md"
)

// commands is the only block of commands in a document that contains the word.
func commands(t *testing.T, document, word string) string {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for i, block := range strings.Split(string(text), "```") {
		if i%2 == 1 && strings.Contains(block, word) {
			found = append(found, block)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d blocks with %q, want one", document, len(found), word)
	}
	return found[0]
}
