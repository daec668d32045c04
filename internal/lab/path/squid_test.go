package path_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oauth-proxyd/internal/lab/labapi"
)

// squidSettings are what all squids here have; %[1]s is the folder, %[2]s more settings.
const squidSettings = `
pid_filename none
cache_log stdio:/dev/stderr
access_log none
coredump_dir %[1]s
shutdown_lifetime 0 seconds
cache deny all
pinger_enable off
visible_hostname proxy.example
%[2]s
`

// startSquid runs a CONNECT proxy at 127.0.0.1:3128.
func startSquid(h *host, more string) {
	h.t.Helper()
	if err := os.Chmod(h.dir, 0o777); err != nil { // squid gives up root
		h.t.Fatal(err)
	}
	file := h.write("squid.conf", fmt.Sprintf(squidSettings, h.dir, more))
	h.start("127.0.0.1:3128", "squid", "-N", "-f", file)
}

// intercepting makes squid open TLS with certificates that ca signs.
func intercepting(h *host, ca, upstream string) string {
	h.t.Helper()
	helper := "/usr/lib/squid/security_file_certgen"
	h.run("cd " + h.dir + "\n" + helper + " -c -s " + h.dir + "/certs -M 4MB\nchown -R proxy: certs")
	return fmt.Sprintf(`
http_port 127.0.0.1:3128 ssl-bump tls-cert=%s generate-host-certificates=on dynamic_cert_mem_cache_size=4MB
sslcrtd_program %s -s %s/certs -M 4MB
sslcrtd_children 1
tls_outgoing_options cafile=%s
acl first at_step SslBump1
ssl_bump peek first
ssl_bump bump all
http_access allow all`, h.write("ca.pem", ca), helper, h.dir, h.write("upstream.pem", upstream))
}

// newCA makes a certificate that signs others, and its key, in one PEM file.
func newCA(t *testing.T, name string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// lastCertificate returns the last certificate in a text with PEM.
func lastCertificate(t *testing.T, text string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(text[max(strings.LastIndex(text, "-----BEGIN CERTIFICATE-----"), 0):]))
	if block == nil {
		t.Fatal("no PEM")
	}
	return string(pem.EncodeToMemory(block))
}

// newSite is a host with the API, and with names for it and for a proxy.
func newSite(t *testing.T) (*host, *api) {
	t.Helper()
	h, a := newHost(t, "127.0.0.1 "+apiName+"\n127.0.0.1 proxy.example\n", ""), newAPI(t)
	a.serveTLS(h, "127.0.0.1:443", labapi.Handler(labapi.Config{}), "h2", "http/1.1")
	return h, a
}

const throughSquid = `
  upstream_url     = "https://` + apiName + `"
  upstream_proxy   = "http://proxy.example:3128"
`

func TestSquidWithoutInterception(t *testing.T) {
	t.Parallel()
	h, a := newSite(t)
	startSquid(h, "http_port 127.0.0.1:3128\nhttp_access allow all")
	d := startDaemon(h, a.pem, throughSquid)
	d.mustAsk()
	wantWhole(t, d, "long-20")
	if r := d.status().Upstream; r.Proxy != "proxy.example:3128" || r.Connections != 1 {
		t.Errorf("%+v", r)
	}
	all := d.findings()
	want(t, all, "upstream proxy", "ok", "proxy.example:3128 opened a tunnel to "+apiName)
	want(t, all, "upstream http", "ok", "401")
}

func TestSquidThatForbidsConnect(t *testing.T) {
	t.Parallel()
	h, a := newSite(t)
	startSquid(h, "http_port 127.0.0.1:3128\nhttp_access deny all")
	d := startDaemon(h, a.pem, throughSquid)
	response, err := d.ask("claude", false)
	if err != nil {
		t.Fatal(err)
	}
	response.Want(t, 502, "could not connect to "+apiName)
	d.log.Next(t, "CONNECT refused with status 403")
	want(t, d.findings(), "upstream proxy", "fail", "proxy.example:3128", "status 403", "allow this host CONNECT to "+apiName)
}

// TLS that squid opens is refused, and doctor names the issuer; with the certificate that its
// command shows, it works.
func TestSquidWithInterception(t *testing.T) {
	t.Parallel()
	h, a := newSite(t)
	ca := newCA(t, "Corporate Inspection")
	startSquid(h, intercepting(h, ca, a.pem))
	d := startDaemon(h, a.pem, throughSquid)
	response, err := d.ask("claude", false)
	if err != nil {
		t.Fatal(err)
	}
	response.Want(t, 502, "could not connect to "+apiName)
	d.log.Next(t, "certificate signed by unknown authority")
	f := want(t, d.findings(), "upstream tls", "fail", `issued by "CN=Corporate Inspection,O=Example"`,
		"not one of the system's roots", "upstream_ca_file = ", "IT department", "openssl s_client")
	if strings.Contains(strings.ToLower(strings.Join(f.Fix, " ")), "insecure") {
		t.Errorf("the verification is to be switched off: %q", f.Fix)
	}
	i := slices.IndexFunc(f.Fix, func(line string) bool { return strings.HasPrefix(line, "openssl ") })
	if i < 0 {
		t.Fatalf("no command in %q", f.Fix)
	}
	shown := lastCertificate(t, h.run(f.Fix[i]))
	if shown != lastCertificate(t, ca) {
		t.Errorf("not that of the CA: %s", shown)
	}
	saved := h.write("saved.pem", shown)
	trusting := startDaemon(h, a.pem, throughSquid+"  upstream_ca_file = \""+saved+"\"")
	trusting.mustAsk()
	want(t, trusting.findings(), "upstream tls", "ok", `issued by "CN=Corporate Inspection,O=Example"`)
}

// throughSpare has a squid as the second proxy, behind one that is dead.
func throughSpare(dead string) string {
	return fmt.Sprintf(`
		upstream_url    = "https://%s"
		upstream_proxy  = ["http://%s:3128", "http://proxy.example:3128"]
		connect_timeout = "12s"
		`, apiName, dead)
}

// A proxy that is dead is passed over within its share of connect_timeout, 6 seconds at most, and
// the next one is kept.
func TestADeadProxyBeforeSquid(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, dead string }{
		{"refused", "127.0.0.9"},
		{"no packet comes back", lostAddress},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			n, a := newNetwork(t, "127.0.0.1 "+apiName+"\n127.0.0.1 proxy.example\n", ""), newAPI(t)
			a.serveTLS(n.near, "127.0.0.1:443", labapi.Handler(labapi.Config{}), "http/1.1")
			startSquid(n.near, "http_port 127.0.0.1:3128\nhttp_access allow all")
			d := startDaemon(n.near, a.pem, throughSpare(row.dead))
			d.mustAsk()
			if r := d.status().Upstream; r.Proxy != "proxy.example:3128" {
				t.Errorf("%+v", r)
			}
			began := time.Now()
			var clients sync.WaitGroup
			for range 5 { // more than one needs connections of their own
				clients.Go(func() { wantWhole(t, d, "slow-2") })
			}
			clients.Wait()
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("new connections took %v", took)
			}
			all := d.findings()
			want(t, all, "upstream proxy", "warn", row.dead+":3128 does not lead to "+apiName, "proxy.example:3128 is used", "curl -v --proxy")
			want(t, all, "upstream proxy", "ok", "proxy.example:3128 opened a tunnel")
			want(t, all, "upstream http", "ok", "401")
		})
	}
}
