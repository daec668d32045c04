package main_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// asPage sends a message as a browser does for a web page of that origin.
func (s *service) asPage(t *testing.T, origin string) daemontest.Response {
	t.Helper()
	a, err := daemontest.Ask(newClient(t), http.MethodPost, s.url()+"/echo", "{}", "Origin", origin, "Sec-Fetch-Site", "cross-site")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestBrowsersSetting(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	config := func(browsers string) string {
		return forwarding(u.URL, "", withoutTailnet, "access {\n  browsers = ["+browsers+"]\n}\n")
	}
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	s.asPage(t, "https://chat.example.com").Want(t, 403, `"error_code":"browser_refused"`, "access.browsers", `"type":"permission_error"`)
	s.asPage(t, "app://obsidian.md").Want(t, 200)
	for _, row := range []struct {
		browsers       string
		listed, others int
	}{
		{`"https://Chat.example.com:443"`, 200, 403},
		{`"*"`, 200, 200},
		{"", 403, 403},
	} {
		s.configure(config(row.browsers))
		if code, _, errs := s.command("reload"); code != 0 {
			t.Fatal(errs)
		}
		s.asPage(t, "https://chat.example.com").Want(t, row.listed)
		s.asPage(t, "https://other.example.com").Want(t, row.others)
	}
	s.awaitMetrics(t, `proxy_errors_total{code="browser_refused"} 4`)
}

// A foreign name may resolve to this host (DNS rebinding); it is still not a name of this host.
func TestHealthAndMetricsCheckHost(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", onTailnet(runTailscaled(t, "Running"), "wait"))})
	s.awaitMetrics(t, "tailnet_connected 1")
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for host, ours := range map[string]bool{
		"127.0.0.1:8080": true, "127.0.0.1": true, "[::1]:8080": true, "[::1]": true, "100.64.0.7:8080": true, "localhost:8080": true, "LocalHost": true,
		hostname + ":8080": true, "box.tail.ts.net:8080": true, "Box.Tail.TS.net.": true, "box:8080": true,
		"evil.example:8080": false, "evil.example": false, "box.evil.example": false, "xbox": false, "tail.ts.net": false, "localhost.evil.example:8080": false,
		"127.0.0.1.evil.example": false,
	} {
		h, m := s.getAs(t, host, "/health"), s.getAs(t, host, "/metrics")
		if ours {
			h.Want(t, 200, `"state": "running"`)
			m.Want(t, 200, "proxy_requests_total")
			continue
		}
		h.Want(t, 200, `"status": "healthy"`)
		if shown := h.Object(t); len(shown) != 1 {
			t.Errorf("%s: /health shows %v", host, shown)
		}
		m.Want(t, 403, `"error_code":"browser_refused"`, "localhost")
		if strings.Contains(m.Body, "proxy_requests_total") {
			t.Errorf("%s: /metrics tells %s", host, m.Body)
		}
	}
	conn := s.dial(t)
	fmt.Fprint(conn.conn, "GET /health HTTP/1.0\r\n\r\n")
	if response, err := http.ReadResponse(conn.reader, nil); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("without a Host: %v, %v", response, err)
	}
}

// getAs asks with another Host.
func (s *service) getAs(t *testing.T, host, path string) daemontest.Response {
	t.Helper()
	client := newClient(t)
	client.Transport = hostIs{client.Transport, host}
	a, err := daemontest.Ask(client, http.MethodGet, s.url()+path, "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// hostIs sends all requests with one Host, wherever they go.
type hostIs struct {
	http.RoundTripper
	host string
}

func (h hostIs) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host = h.host
	return h.RoundTripper.RoundTrip(r)
}
