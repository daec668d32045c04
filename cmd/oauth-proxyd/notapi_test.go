package main_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// page responds like a program that is not the API: without a request-id.
func page(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// speaks is a server that sends text in response to whatever it receives.
func speaks(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4<<10))
			_, _ = io.WriteString(c, text)
			_ = c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

// TestDoctorTellsTheAPIFromOthers: only a response like the API's is as expected, and no text of
// another program is printed.
func TestDoctorTellsTheAPIFromOthers(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, url, status string
		words             []string
	}{
		{
			"a login page", serving(t, page(200, "text/html; charset=utf-8", "<a href='/?t=5ecr3t'>")), "warn",
			[]string{"200 OK, text/html, no request-id in", "the API would respond with 401, JSON and a request-id", "proxy.upstream_url in "},
		},
		{"a 401 of a portal", serving(t, page(401, "application/json", `{"error":"5ecr3t"}`)), "warn", []string{"401 Unauthorized, application/json, no request-id in"}},
		{"a 503 of a proxy", serving(t, page(503, "text/html", "5ecr3t")), "warn", []string{"503 Service Unavailable, text/html, no request-id in", "another program responds in its place"}},
		{
			"a redirect to a login", serving(t, http.RedirectHandler("https://login.example/sso?token=5ecr3t", http.StatusFound).ServeHTTP), "fail",
			[]string{"302 Found in", "a redirect: this is not the API"},
		},
		{
			"silence", serving(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), "fail",
			[]string{"accepted the connection, but did not respond in time", "proxy.upstream_url in "},
		},
		{"no HTTP status", speaks(t, "HTTP/1.1 5ecr3t x\r\n\r\n"), "fail", []string{`malformed HTTP status code "…"`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, unit{config: forwarding(row.url, "", withoutTailnet, mergeBeta)})
			d, _ := s.doctor()
			d.want(t, "upstream http", row.status, row.words...)
			d.wantNoSecret(t)
			if f := d.of("upstream http"); strings.Contains(strings.Join(f[0].Fix, "\n"), "status.anthropic.com") {
				t.Errorf("the API is blamed: %+v", f)
			}
		})
	}
}

func serving(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func (d diagnosis) wantNoSecret(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil || strings.Contains(string(text), "5ecr3t") {
		t.Errorf("%v, foreign text in %s", err, text)
	}
}

// TestDoctorNamesTheGatewaysFault: a gateway that does respond is not called silent, and its text
// is not printed.
func TestDoctorNamesTheGatewaysFault(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the handshake
	secure.StartTLS()
	t.Cleanup(secure.Close)
	s, _ := inFrontOfAPI(t, mergeBeta)
	for _, row := range []struct {
		name, url string
		words     []string
	}{
		{"a certificate", secure.URL, []string{"certificate signed by unknown authority"}},
		{"no HTTP", speaks(t, "HTTP/1.1 5ecr3t x\r\n\r\n"), []string{`malformed HTTP status code "…"`}},
		{"nothing listens", "http://127.0.0.1:1", []string{"connection refused"}},
		{
			"an error with a token", serving(t, page(403, "application/json", `{"error":{"type":"permission_error","message":"bob@5ecr3t.example, sk-ant-5ecr3t"}}`)),
			[]string{"responded with 403, and the request did not reach this daemon: permission_error"},
		},
		{"a page with a token", serving(t, page(502, "text/html", "5ecr3t")), []string{"responded with 502"}},
	} {
		d, _ := s.doctor("--through", row.url)
		d.want(t, "gateway", "fail", row.words...)
		d.wantNoSecret(t)
	}
}

func TestDoctorMissesRootCertificates(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the handshake
	secure.StartTLS()
	t.Cleanup(secure.Close)
	s := start(t, unit{
		config: forwarding(secure.URL, "", withoutTailnet, mergeBeta),
		env:    []string{"SSL_CERT_FILE=/nonexistent", "SSL_CERT_DIR=/nonexistent"},
	})
	d, _ := s.doctor()
	d.want(t, "upstream tls", "fail", "no root certificates were found on this host", `issued by "O=Acme Co"`, "install the package ca-certificates")
}

// TestEachRefusedProxyIsNamed: status separates the errors of two proxies.
func TestEachRefusedProxyIsNamed(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("https://api.invalid", `upstream_proxy = ["http://127.0.0.1:1", "http://127.0.0.1:2"]`, withoutTailnet)})
	get(t, s.url()+"/echo").Want(t, 502)
	_, out, _ := s.command("status", "--json")
	if !strings.Contains(out, "connection refused; proxy 127.0.0.1:2: dial tcp 127.0.0.1:2") {
		t.Error(out)
	}
}
