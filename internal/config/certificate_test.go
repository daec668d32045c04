package config_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/config"
)

// authority is a good CA, until change makes another certificate of it.
func authority(t *testing.T, name string, change func(*x509.Certificate)) (der []byte) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x7f), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if change != nil {
		change(template)
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err = x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// negative has a serial number that Go refuses. Nothing checks the signature of a root.
func negative(t *testing.T, name string) []byte {
	t.Helper()
	return bytes.Replace(authority(t, name, nil), []byte{2, 1, 0x7f}, []byte{2, 1, 0xff}, 1)
}

func inPEM(der []byte) string { return inBlock("CERTIFICATE", der) }

func inBlock(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func withCAFile(t *testing.T, content string) (*config.Config, error) {
	t.Helper()
	return parseLine("proxy", "upstream_ca_file = "+strconv.Quote(write(t, content)))
}

// Each certificate that cannot be used, or not as one may think, is named with its number, line,
// subject and the reason. Those that can be used are in the Config.
func TestCertificatesAreNamed(t *testing.T) {
	good := authority(t, "Good", nil)
	for _, test := range []struct {
		name, content string
		usable        int
		want          string // after "proxy.upstream_ca_file: "; empty: no warning
	}{
		{"one", inPEM(good), 1, ""},
		{"text around it", "# my CA\n" + inPEM(good) + "the end\n", 1, ""},
		{"dos line ends", strings.ReplaceAll(inPEM(good), "\n", "\r\n"), 1, ""},
		{"a byte order mark", "\ufeff" + inPEM(good), 1, ""},
		{"indented", "  " + strings.ReplaceAll(inPEM(good), "\n", "\n  "), 1, ""},
		{"joined without a line end", strings.TrimSpace(inPEM(good)) + inPEM(authority(t, "B", nil)), 2, ""},
		{"commented out", inPEM(good) + "#" + strings.ReplaceAll(strings.TrimSpace(inPEM(negative(t, "Old"))), "\n", "\n#"), 1, ""},
		{"a negative serial", inPEM(good) + inPEM(negative(t, "Corp Root")), 1, `certificate 2 of 2, line 9: not used: negative serial number`},
		{"a negative serial before it", inPEM(negative(t, "Corp Root")) + inPEM(good), 1, `certificate 1 of 2, line 1: not used: negative serial number`},
		{"malformed", inPEM([]byte("garbage")) + inPEM(good), 1, "certificate 1 of 2, line 1: not used: malformed certificate"},
		{"cut short", inPEM(good) + inPEM(good[:len(good)-9]), 1, "certificate 2 of 2, line 9: not used: malformed certificate"},
		{"not base64", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n" + inPEM(good), 1, "certificate 1 of 2, line 1: not used: not a PEM block"},
		{"no end", inPEM(good) + "-----BEGIN CERTIFICATE-----\nAAAA\n", 1, "certificate 2 of 2, line 9: not used: not a PEM block"},
		{"no end before another", "-----BEGIN CERTIFICATE-----\nAAAA\n" + inPEM(good), 1, "certificate 1 of 2, line 1: not used: not a PEM block"},
		{"no beginning", inPEM(good) + "AAAA\n-----END CERTIFICATE-----\n", 1, "not used: certificates without a BEGIN line: 1"},
		{"a dash too few", inPEM(good) + inPEM(good)[1:], 1, "certificate 2 of 2, line 9: not used: not a PEM block"},
		{"a key", inPEM(good) + inBlock("PRIVATE KEY", []byte("5ecret")), 1, `certificate 2 of 2, line 9: not used: a block of the type "PRIVATE KEY", not "CERTIFICATE"`},
		{"expired", inPEM(good) + inPEM(authority(t, "Old", func(c *x509.Certificate) { c.NotAfter = c.NotBefore.AddDate(1, 0, 0) })), 2, `certificate 2 of 2, line 9, subject "CN=Old": it expired on 2021-01-01`},
		{"to come", inPEM(authority(t, "New", func(c *x509.Certificate) { c.NotBefore = c.NotAfter.AddDate(-1, 0, 0) })), 1, `certificate 1 of 1, line 1, subject "CN=New": it is not valid before 2199-01-01`},
		{"for mail", inPEM(good) + inPEM(authority(t, "Mail", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} })), 1, "not used: its extended key usage does not include servers"},
		{"a critical extension", inPEM(good) + inPEM(authority(t, "Odd", func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		})), 1, "not used: it has a critical extension that is not supported: 1.2.3"},
		{"a long subject with control characters", inPEM(authority(t, strings.Repeat("\x1b[31m", 20), func(c *x509.Certificate) { c.NotAfter = c.NotBefore })), 1, `subject "CN=\x1b[31m`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := withCAFile(t, test.content)
			if err != nil {
				t.Fatal(err)
			}
			all := strings.Join(c.Warnings(), "\n")
			if got := strings.TrimPrefix(all, "proxy.upstream_ca_file: "); !strings.Contains(got, test.want) || (got == "") != (test.want == "") || strings.ContainsAny(got, "\n\x1b") {
				t.Errorf("warnings:\n%s\nwant\n%s", all, test.want)
			}
			if n := usable(t, c.Proxy.UpstreamCAs); n != test.usable {
				t.Errorf("%d certificates are handed on, want %d", n, test.usable)
			}
		})
	}
}

// usable counts what a pool takes, which must be all.
func usable(t *testing.T, content []byte) int {
	t.Helper()
	n := bytes.Count(content, []byte("BEGIN"))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(content)
	if got := len(pool.Subjects()); got != n { //nolint:staticcheck // the pool is not the system's
		t.Errorf("%d of %d are dropped", n-got, n)
	}
	return n
}

func TestCAFileWithoutCertificates(t *testing.T) {
	good := authority(t, "Good", nil)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, content string
		want          []string
	}{
		{"empty", "", []string{"holds no certificate"}},
		{"text", "nothing\n", []string{"holds no certificate"}},
		{"DER", string(good), []string{"holds no certificate"}},
		{"a key", inBlock("EC PRIVATE KEY", private), []string{"holds no certificate that can be used", `certificate 1 of 1, line 1: not used: a block of the type "EC PRIVATE KEY"`}},
		{"two", inPEM(negative(t, "A")) + inPEM(good[:9]), []string{`certificate 1 of 2, line 1: not used: negative serial number`, "certificate 2 of 2, line 9: not used: malformed"}},
		{"too large", inPEM(good) + strings.Repeat("\n", 1<<20), []string{"is larger than 1MiB"}},
		{"many", strings.Repeat("-----BEGIN CERTIFICATE-----\n", 30_000), []string{"certificate 20 of 30000", "and 29980 more"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var err error
			within(t, func() { _, err = withCAFile(t, test.content) })
			bad := asError(t, err)
			checkSize(t, bad)
			all := fmt.Sprint(bad.Diagnostics())
			for _, want := range test.want {
				if !strings.Contains(all, want) {
					t.Errorf("no %q in %s", want, all)
				}
			}
		})
	}
}

// Reading ends for every kind of file.
func TestSpecialCAFiles(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{pipe: "a pipe without a writer", "/dev/zero": "is larger than 1MiB", t.TempDir(): "is a directory"} {
		var err error
		within(t, func() { _, err = parseLine("proxy", "upstream_ca_file = "+strconv.Quote(path)) })
		if bad := asError(t, err); !strings.Contains(bad.Error(), want) {
			t.Errorf("%s: %v", path, bad)
		}
	}
}

// An outdated bundle with many expired certificates does not fill the screen.
func TestManyWarningsAreCut(t *testing.T) {
	c, err := withCAFile(t, inPEM(authority(t, "Good", nil))+strings.Repeat(inPEM(negative(t, "Old")), 100))
	if err != nil {
		t.Fatal(err)
	}
	if all := c.Warnings(); len(all) != 21 || all[20] != "proxy.upstream_ca_file: and 80 more" {
		t.Errorf("%d warnings, the last %q", len(all), all[len(all)-1])
	}
}
