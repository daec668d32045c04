package doctor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/doctor"
)

// brokenHandshakes has upstreams with which no TLS connection, or one to something else, is made.
func brokenHandshakes() []breakage {
	return []breakage{
		{
			"an upstream that is not to be trusted", func(w *world) { w.replace(w.upstream.URL, w.tlsUpstream(nil)) },
			"upstream tls", doctor.Fail,
			[]string{`issued by "O=Acme Co"`, "not one of the system's roots", `upstream_ca_file = "/etc/oauth-proxyd/upstream-ca.pem"`, "IT department"},
		},
		{
			"a private upstream that is not the API", func(w *world) { w.trusts(w.tlsUpstream(nil)) },
			"upstream http", doctor.Warn,
			[]string{"404", "curl -v --cacert /"},
		},
		{
			"an upstream whose certificate has expired", func(w *world) {
				w.serveSigned(&x509.Certificate{
					NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC),
				})
			},
			"upstream tls", doctor.Fail,
			[]string{`issued by "CN=Inspector"`, "valid from 2020-01-01 to 2021-01-01", "timedatectl", "must renew the certificate"},
		},
		{
			"an upstream whose certificate is for clients", func(w *world) {
				w.serveSigned(&x509.Certificate{NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
			},
			"upstream tls", doctor.Fail,
			[]string{"incompatible key usage", "must issue one for servers", "serverAuth"},
		},
		{
			"an upstream with another name", func(w *world) { w.trusts(strings.Replace(w.tlsUpstream(nil), "127.0.0.1", "localhost", 1)) },
			"upstream tls", doctor.Fail,
			[]string{"not localhost", "is that the name in the certificate?"},
		},
		{
			"an upstream with an old version of TLS", func(w *world) {
				w.replace(w.upstream.URL, w.serveTLS(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}))
			},
			"upstream tls", doctor.Fail,
			[]string{"only TLS 1.0 or 1.1", "must turn on TLS 1.2 or 1.3", "openssl s_client -connect 127.0.0.1:"},
		},
		{
			"an upstream without TLS", func(w *world) { w.replace(w.upstream.URL, strings.Replace(w.upstream.URL, "http:", "https:", 1)) },
			"upstream tls", doctor.Fail,
			[]string{"is this an https server?"},
		},
	}
}

// certificate returns one that a CA signs, and the certificate of the CA.
func certificate(t *testing.T, c *x509.Certificate) (signed tls.Certificate, ca []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issuer := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Inspector"}, NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	c.SerialNumber, c.IPAddresses = big.NewInt(2), []net.IP{net.IPv4(127, 0, 0, 1)}
	ca, err = x509.CreateCertificate(rand.Reader, issuer, issuer, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, ca
}

// serveSigned serves with a certificate whose CA the configuration trusts.
func (w *world) serveSigned(c *x509.Certificate) {
	signed, ca := certificate(w.t, c)
	w.trustsAll(w.tlsUpstream([]tls.Certificate{signed}), ca)
}

// tlsUpstream has a certificate that is not trusted: other, or else that of httptest.
func (w *world) tlsUpstream(other []tls.Certificate) string {
	return w.serveTLS(&tls.Config{Certificates: other})
}

func (w *world) serveTLS(c *tls.Config) string {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = c
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the handshake
	server.StartTLS()
	w.t.Cleanup(server.Close)
	return server.URL
}

// trusts makes the test servers' certificate known to the configuration, which they have unless
// the test gives them another.
func (w *world) trusts(url string) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	w.trustsAll(url, server.Certificate().Raw)
}

// trustsAll makes the configuration trust a certificate.
func (w *world) trustsAll(url string, der []byte) {
	file := filepath.Join(w.dir, "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.replace(strconv.Quote(w.upstream.URL), strconv.Quote(url)+"\n  upstream_ca_file = "+strconv.Quote(file))
}
