package doctor_test

import (
	"cmp"
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
	"sync"
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
			[]string{`issued by "CN=Inspector"`, "valid from 2020-01-01 to 2021-01-01", "timedatectl", "must renew that certificate"},
		},
		{
			"an upstream whose certificate is for clients", func(w *world) {
				w.serveSigned(&x509.Certificate{NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
			},
			"upstream tls", doctor.Fail,
			[]string{"incompatible key usage", "must issue a valid one"},
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
			[]string{"protocol version not supported", "is this an https server, with TLS 1.2 or 1.3?"},
		},
		{
			"an upstream without TLS", func(w *world) { w.replace(w.upstream.URL, strings.Replace(w.upstream.URL, "http:", "https:", 1)) },
			"upstream tls", doctor.Fail,
			[]string{"is this an https server, with TLS 1.2 or 1.3?"},
		},
	}
}

// TestTLSIsShown: with its version, and the issuer of the certificate, over either protocol.
func TestTLSIsShown(t *testing.T) {
	for _, protocol := range []string{"h2", "http/1.1"} {
		w := newWorld(t)
		w.trusts(w.serveTLS(&tls.Config{NextProtos: []string{protocol}}))
		if f := find(w.examine(), "upstream tls"); f.Status != doctor.OK || lacks(f, []string{"TLS 1.3 " + protocol, `issued by "O=Acme Co"`}) {
			t.Errorf("%s: %+v", protocol, f)
		}
	}
}

// silentHandshakes has paths on which nothing comes back in the handshake.
func silentHandshakes() []breakage {
	dropped := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	closed := func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<12)) }
	return []breakage{
		{
			"a firewall drops what names the upstream", func(w *world) {
				w.replace(w.upstream.URL, "https://"+w.accept(dropped)+`"`+"\n  connect_timeout = \"1s")
			},
			"upstream tls", doctor.Fail,
			[]string{"connected, and received nothing", "one that filters by name drops or closes the connection", "tracepath 127.0.0.1", "ip link set dev DEVICE mtu 1280"},
		},
		{
			"a firewall closes what names the upstream", func(w *world) { w.replace(w.upstream.URL, "https://"+w.accept(closed)) },
			"upstream tls", doctor.Fail,
			[]string{"connected, and received nothing", "one that filters by name drops or closes the connection"},
		},
		{
			"a proxy's tunnel leads to nothing", func(w *world) {
				w.replace(w.upstream.URL, "https://"+w.accept(closed))
				w.through(connectProxy(w.t, http.StatusOK))
			},
			"upstream tls", doctor.Fail,
			[]string{"received nothing", "\nhave the firewall or the proxy on the path admit 127.0.0.1", "its log says why"},
		},
	}
}

// accept runs do with each connection to the address that it returns, and then closes it.
func (w *world) accept(do func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			running.Go(func() { defer c.Close(); do(c) })
		}
	})
	w.t.Cleanup(func() { l.Close(); running.Wait() })
	return l.Addr().String()
}

// brokenChains has certificates with a CA between the upstream's and the one that is trusted.
func brokenChains() []breakage {
	return []breakage{
		{
			"a CA between them has expired", func(w *world) { w.serveChain(time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC), true) },
			"upstream tls", doctor.Fail,
			[]string{`that is the certificate of "CN=Between" in its chain, which was issued by "CN=Root" and is valid from 1970-01-01 to 2021-01-01`, "must renew that certificate"},
		},
		{
			"a CA between them is not sent", func(w *world) { w.serveChain(time.Now().Add(time.Hour), false) },
			"upstream tls", doctor.Fail,
			[]string{`issued by "CN=Between"`, "or the server does not send its intermediate certificate", "openssl s_client -showcerts -connect 127.0.0.1:", "   # if the issuer", "must add that CA's certificate"},
		},
	}
}

// serveChain serves with a certificate of the CA Between, which expires then and may be sent. The
// configuration trusts its issuer.
func (w *world) serveChain(expires time.Time, sent bool) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	serial := int64(0)
	sign := func(name string, isCA bool, until time.Time, issuer *x509.Certificate) *x509.Certificate {
		serial++
		c := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(0, 0), NotAfter: until,
			IsCA: isCA, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		}
		der, err := x509.CreateCertificate(rand.Reader, c, cmp.Or(issuer, c), key.Public(), key)
		if err != nil {
			w.t.Fatal(err)
		}
		c, _ = x509.ParseCertificate(der) // we made it
		return c
	}
	hour := time.Now().Add(time.Hour)
	root := sign("Root", true, hour, nil)
	between := sign("Between", true, expires, root)
	chain := tls.Certificate{Certificate: [][]byte{sign("leaf", false, hour, between).Raw}, PrivateKey: key}
	if sent {
		chain.Certificate = append(chain.Certificate, between.Raw)
	}
	w.trustsAll(w.tlsUpstream([]tls.Certificate{chain}), root.Raw)
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
