package main_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// doctor judges a gateway that removes everything but the mark of the probe.
func TestProbeIsRecognizedByItsHeader(t *testing.T) {
	t.Parallel()
	s, reached := inFrontOfAPI(t, mergeBeta)
	g := gateway{change: func(r *http.Request) {
		r.Header = http.Header{"Content-Type": r.Header["Content-Type"], probeHeader: r.Header[probeHeader]}
		r.URL.RawQuery = ""
	}}
	d, _ := s.doctor("--through", g.run(t, s.url()).URL)
	d.want(t, "gateway", "ok", "the request came through")
	d.want(t, "gateway beta list", "fail", "did not arrive")
	if n := reached.Load(); n > 0 {
		t.Errorf("%d requests of doctor reached the upstream", n)
	}
}

// probeHeader is the only mark of doctor's request.
const probeHeader = "X-Oauth-Proxyd-Probe"

func TestDoctorReportsDroppedProbeHeader(t *testing.T) {
	t.Parallel()
	s, reached := inFrontOfAPI(t, mergeBeta)
	g := gateway{change: func(r *http.Request) { delete(r.Header, probeHeader) }}
	d, code := s.doctor("--through", g.run(t, s.url()).URL)
	d.want(t, "gateway", "fail", "dropped the header of the probe", "401", "pass on the header x-oauth-proxyd-probe")
	if code != 1 || reached.Load() == 0 {
		t.Errorf("exit code %d, %d requests reached the upstream", code, reached.Load())
	}
}

// admin sends a request to the admin socket, as a member of the group can.
func (s *service) admin(method, path, body string) (status int, response string) {
	s.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.dir, "admin.sock"))
	}}
	a, err := daemontest.Ask(&http.Client{Transport: transport}, method, "http://admin"+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return a.Status, a.Body
}

// A member of the group may announce a probe, but learns nothing about the requests of others: the
// daemon chooses the nonce, and a report has the values of few headers.
func TestProbeShowsNoOtherRequest(t *testing.T) {
	t.Parallel()
	s, reached := inFrontOfAPI(t, mergeBeta)
	status, text := s.admin(http.MethodPost, "/probes", `{"nonce":"ABCDEFGHIJKLMNOPQRSTUVWXYZ"}`) // it makes its own
	var nonce string
	if err := json.Unmarshal([]byte(text), &nonce); err != nil || status != http.StatusOK || len(nonce) < 26 || strings.Contains(text, "ABCDEFGHIJKL") {
		t.Fatalf("status %d, %v: %s", status, err, text)
	}
	headers := []string{"Authorization", "Bearer " + daemontest.OAuthToken, "Cookie", "session=" + nonce, "X-Request-Id", "req_" + nonce}
	a, err := daemontest.Ask(newClient(t), http.MethodPost, s.url()+"/v1/messages?x="+nonce, "{}", headers...)
	if err != nil || a.Status != http.StatusUnauthorized || reached.Load() != 1 {
		t.Errorf("%v, status %d, %d reached the upstream", err, a.Status, reached.Load())
	}
	marked := append(headers, probeHeader, nonce, "X-Api-Key", secret("key"), "X-Odd", secret("odd"))
	if a, err = daemontest.Ask(newClient(t), http.MethodPost, s.url()+"/v1/messages", secret("body"), marked...); err != nil || a.Status != http.StatusOK {
		t.Errorf("%v, status %d", err, a.Status)
	}
	_, report := s.admin(http.MethodGet, "/probes/"+nonce, "")
	for _, text := range []string{report, a.Body} {
		for _, word := range []string{"session=", "Cookie", "cookie", "5ecr3t", "X-Odd", "x-odd", daemontest.OAuthToken} {
			if strings.Contains(text, word) {
				t.Errorf("%q is in %s", word, text)
			}
		}
	}
	if !daemontest.ContainsAll(report, []string{`"arrivals":1`, `"X-Request-Id"`}) {
		t.Errorf("the report %s", report)
	}
}

// Any other request than the announced one goes to the upstream.
func TestOnlyAnnouncedProbesAreAccepted(t *testing.T) {
	t.Parallel()
	s, reached := inFrontOfAPI(t, mergeBeta)
	d, _ := s.doctor("--through", gateway{}.run(t, s.url()).URL)
	d.want(t, "gateway", "ok")
	a, err := daemontest.Ask(newClient(t), http.MethodPost, s.url()+"/v1/messages", "{}", probeHeader, "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
		"Authorization", "Bearer sk-ant-oat01-doctor-ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	if err != nil || a.Status != 401 || reached.Load() != 1 {
		t.Errorf("%v, status %d, %d reached the upstream", err, a.Status, reached.Load())
	}
}

// A probe that a gateway repeats much later does not reach the upstream.
func TestProbeIsAcceptedOnce(t *testing.T) {
	t.Parallel()
	s, reached := inFrontOfAPI(t, mergeBeta)
	repeat := make(chan *http.Request, 1)
	g := gateway{change: func(r *http.Request) { repeat <- r.Clone(s.t.Context()) }}
	s.doctor("--through", g.run(t, s.url()).URL)
	r := <-repeat
	r.Body, r.ContentLength = nil, 0
	response, err := newClient(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 400 || response.Header.Get("Proxy-Status") == "" {
		t.Errorf("status %d, want our own error", response.StatusCode)
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("%d requests of doctor reached the upstream", n)
	}
}
