package main_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

func TestHealthFields(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", onTailnet(runTailscaled(t, "Running"), "wait"))})
	get(t, s.url()+"/echo").Want(t, 200)
	get(t, s.url()+"/nothing").Want(t, 404)
	s.awaitHealth(t, "requests_served", 2)
	s.awaitHealth(t, "in_flight", 0)
	a := get(t, s.url()+"/health")
	a.Want(t, 200)
	h := a.Object(t)
	for name, want := range map[string]any{
		"status": "healthy", "tailnet": "connected", "tailnet_hostname": "box.tail.ts.net", "tailnet_ip": "100.64.0.7",
		"requests_served": 2.0, "errors_total": 1.0, "state": "running", "tailnet_backend_state": "Running",
		"tailnet_key_expires_at": nil, "in_flight": 0.0, "queued": 0.0, "last_reload": nil, "version": "v0.0.0-test",
	} {
		if got, there := h[name]; !there || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"uptime_seconds", "tailnet_warnings", "upstream_last_success"} {
		if h[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	if kind := a.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("Content-Type %q", kind)
	}
}

func TestHealthAndMetricsHEAD(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	for _, path := range []string{"/health", "/metrics"} {
		a, err := daemontest.Ask(newClient(t), http.MethodHead, s.url()+path, "")
		if err != nil {
			t.Fatal(err)
		}
		if a.Status != 200 || a.Body != "" || a.Header.Get("Content-Type") != get(t, s.url()+path).Header.Get("Content-Type") {
			t.Errorf("HEAD %s: %d %q %v", path, a.Status, a.Body, a.Header)
		}
	}
}

func TestOnlyHealthAndMetricsAreLocal(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	for _, row := range []struct{ method, path string }{
		{"GET", "/health/"},
		{"GET", "//health"},
		{"GET", "/%68ealth"},
		{"GET", "/healthz"},
		{"GET", "/metrics/x"},
		{"POST", "/health"},
		{"DELETE", "/metrics"},
	} {
		a, err := daemontest.Ask(newClient(t), row.method, s.url()+row.path, "")
		if err != nil || a.Status != 404 && a.Status != 307 { // the upstream's
			t.Errorf("%s %s: %d %v %s", row.method, row.path, a.Status, err, a.Body)
		}
	}
	if a := get(t, s.url()+"/health?verbose"); a.Status != 200 {
		t.Errorf("GET /health?verbose: %d", a.Status)
	}
}

func TestHealthForRefusedClients(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet,
		"access {\n  allow = [\"tailnet\"]\n}\n", "metrics {\n  allow = [\"tailnet\"]\n}\n")})
	a := get(t, s.url()+"/health")
	a.Want(t, 200)
	if h := a.Object(t); len(h) != 1 || h["status"] != "healthy" {
		t.Errorf("strangers see %v", h)
	}
	get(t, s.url()+"/metrics").Want(t, 403, `"error_code":"access_denied"`)
	get(t, s.url()+"/echo").Want(t, 403, `"error_code":"access_denied"`)
}

func TestHealthReportsKeyAndWarnings(t *testing.T) {
	t.Parallel()
	d := runTailscaled(t, "Running")
	d.Expire("2033-04-05T06:07:08Z")
	d.Warn("no route to anything")
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", onTailnet(d, "wait"))})
	get(t, s.url()+"/health").Want(t, 200, `"tailnet_key_expires_at": "2033-04-05T06:07:08Z"`, `"tailnet_warnings": []`)
	s.awaitMetrics(t, "\ntailnet_key_expiry_timestamp_seconds 1.996294028e+09\n")
	s.log.Next(t, "tailscaled warns", "no route to anything")
	get(t, s.url()+"/health").Want(t, 200, "\"tailnet_warnings\": [\n    \"no route to anything\"\n  ]")
	s.awaitMetrics(t, "\ntailnet_health_warnings 1\n")
	if n := s.log.Count("tailscaled warns"); n != 1 {
		t.Errorf("it is logged %d times", n)
	}
}

func TestMetricsAccess(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	for local, elsewhere := range map[string]string{"metrics": "access", "access": "metrics"} {
		s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet,
			local+" {\n  allow = [\"local\"]\n}\n", elsewhere+" {\n  allow = [\"tailnet\"]\n}\n")})
		statuses := map[string]int{local: 200, elsewhere: 403}
		get(t, s.url()+"/metrics").Want(t, statuses["metrics"])
		get(t, s.url()+"/echo").Want(t, statuses["access"])
	}
}

func TestHealthAndMetricsUnderFullLoad(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "max_connections = 20\n  queue_limit = 20\n  queue_timeout = \"5m\"", withoutTailnet)})
	var waits []func() result
	for range 40 {
		waits = append(waits, background(t, newClient(t), "POST", s.url()+"/wait", "body"))
	}
	s.awaitHealth(t, "queued", 20)
	get(t, s.url()+"/wait").Want(t, 503, `"error_code":"overloaded"`)
	get(t, s.url()+"/health").Want(t, 200, `"in_flight": 20`, `"queued": 20`)
	get(t, s.url()+"/metrics").Want(t, 200, "\nproxy_requests_in_flight 20\n", "\nproxy_requests_queued 20\n")
	u.open()
	for _, wait := range waits {
		wait().Want(t, 200, "waited")
	}
	s.awaitMetrics(t, "\nproxy_requests_in_flight 0\n", "\nproxy_requests_queued 0\n")
}

// The responses do not wait for an announced body that does not arrive.
func TestHealthAndMetricsIgnoreTheBody(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	for _, path := range []string{"/health", "/metrics"} {
		for _, length := range []string{"Content-Length: 10", "Transfer-Encoding: chunked"} {
			c := s.dial(t)
			if _, err := io.WriteString(c.conn, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n"+length+"\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			all, err := io.ReadAll(c.reader) // to the end of the connection
			if err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 200") {
				t.Errorf("%s with %s: %.60q, %v", path, length, all, err)
			}
		}
	}
}

func TestHealthWhileDraining(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	c, kept := s.dial(t), newClient(t)
	c.get(t, "/health")
	if _, err := daemontest.Ask(kept, "GET", s.url()+"/health", ""); err != nil {
		t.Fatal(err)
	}
	wait := background(t, newClient(t), "GET", s.url()+"/wait", "")
	u.await(t)
	s.signal(syscall.SIGTERM)
	s.log.Next(t, `"msg":"draining"`)
	if a := c.get(t, "/health"); a.StatusCode != 503 || !a.Close {
		t.Errorf("responded %s, close %v", a.Status, a.Close)
	}
	a, err := daemontest.Ask(kept, "GET", s.url()+"/health", "")
	if err != nil {
		t.Fatal(err)
	}
	a.Want(t, 503, `"status": "draining"`)
	u.open()
	wait().Want(t, 200)
	s.wantExit(0)
}

func TestOwnResponsesHaveARequestID(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	for _, path := range []string{"/health", "/metrics", "/echo"} {
		id := get(t, s.url()+path).Header.Get("X-Request-Id")
		if len(id) != len("req_")+26 || !strings.HasPrefix(id, "req_") {
			t.Errorf("%s: x-request-id %q", path, id)
		}
		own := "req_" + strings.Repeat("A", 26)
		if got := get(t, s.url()+path, "X-Request-Id", own).Header.Get("X-Request-Id"); got != own {
			t.Errorf("%s: x-request-id %q, want the client's own", path, got)
		}
	}
}

func TestHealthAndMetricsAreNotCounted(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	get(t, s.url()+"/health")
	get(t, s.url()+"/metrics")
	for line := range strings.Lines(get(t, s.url()+"/metrics").Body) {
		if strings.HasPrefix(line, "proxy_requests_total{") && !strings.HasSuffix(line, " 0\n") {
			t.Errorf("they count as requests: %s", line)
		}
	}
	s.stop()
	if slices.ContainsFunc(s.log.All(), func(line string) bool { return strings.Contains(line, `"outcome":`) }) {
		t.Error("they are logged")
	}
}
