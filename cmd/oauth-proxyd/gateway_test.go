package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// gateway is a fake gateway between clients and the daemon. It passes requests and responses on,
// except for the changes that a test wants.
type gateway struct {
	change   func(*http.Request)                                  // of what it sends on
	response func(w http.ResponseWriter, response *http.Response) // in place of passing it on as it comes
	instead  http.HandlerFunc                                     // in place of all
	times    int                                                  // how often it sends a request on; 0: once
}

// run starts the gateway in front of url.
func (g gateway) run(t *testing.T, url string) *httptest.Server {
	t.Helper()
	if g.response == nil {
		g.response = passOn
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.instead != nil {
			g.instead(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		response, err := g.send(r, url, string(body))
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		for range g.times - 1 {
			if again, err := g.send(r, url, string(body)); err == nil {
				again.Body.Close()
			}
		}
		g.response(w, response)
	}))
	t.Cleanup(server.Close)
	return server
}

func (g gateway) send(r *http.Request, url, body string) (*http.Response, error) {
	on, err := http.NewRequestWithContext(r.Context(), r.Method, url+r.URL.RequestURI(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	on.Header = r.Header.Clone()
	if g.change != nil {
		g.change(on)
	}
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(on)
}

func passOn(w http.ResponseWriter, response *http.Response) {
	beginResponse(w, response)
	buffer := make([]byte, 4096)
	for {
		n, err := response.Body.Read(buffer)
		w.Write(buffer[:n])
		http.NewResponseController(w).Flush()
		if err != nil {
			return
		}
	}
}

func beginResponse(w http.ResponseWriter, response *http.Response) {
	maps.Copy(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
}

// bufferAll sends the response only when it is complete.
func bufferAll(w http.ResponseWriter, response *http.Response) {
	whole, err := io.ReadAll(response.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	beginResponse(w, response)
	w.Write(whole)
}

// cutShort ends the response after its first events.
func cutShort(w http.ResponseWriter, response *http.Response) {
	beginResponse(w, response)
	buffer := make([]byte, 4096)
	n, _ := response.Body.Read(buffer)
	w.Write(buffer[:n])
}

// finding is a finding of doctor.
type finding struct {
	Check, Status, Seen string
	Fix                 []string
}

// diagnosis is the output of doctor --json.
type diagnosis struct {
	OK       bool
	Findings []finding
}

// doctor runs doctor beside the service.
func (s *service) doctor(args ...string) (diagnosis, int) {
	s.t.Helper()
	code, out, errs := s.command(append([]string{"doctor", "--json", "--config", s.file()}, args...)...)
	var d diagnosis
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		s.t.Fatalf("doctor %q: exit code %d, %v\n%s%s", args, code, err, out, errs)
	}
	return d, code
}

// of returns the findings of a check.
func (d diagnosis) of(check string) []finding {
	var found []finding
	for _, f := range d.Findings {
		if f.Check == check {
			found = append(found, f)
		}
	}
	return found
}

// want wants a check to have exactly this finding.
func (d diagnosis) want(t *testing.T, check, status string, words ...string) {
	t.Helper()
	found := d.of(check)
	if len(found) != 1 {
		t.Errorf("%q has %d findings, want 1: %+v", check, len(found), d.Findings)
		return
	}
	f := found[0]
	if text := f.Seen + "\n" + strings.Join(f.Fix, "\n"); f.Status != status || !daemontest.ContainsAll(text, words) {
		t.Errorf("%s: %s, %q, %q\nwant %s with %q", check, f.Status, f.Seen, f.Fix, status, words)
	}
	if f.Status != "ok" && len(f.Fix) == 0 {
		t.Errorf("%s: nothing fixes %q", check, f.Seen)
	}
}

// inFrontOfAPI starts a service in front of a mock API that counts requests.
func inFrontOfAPI(t *testing.T, blocks ...string) (s *service, reached *atomic.Int64) {
	t.Helper()
	reached = &atomic.Int64{}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Header.Get("X-Api-Key") != "" {
			reached.Add(1)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Request-Id", "req_011")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(api.Close)
	blocks = append(blocks, onTailnet(withoutDevice(t), "wait"))
	return start(t, unit{config: forwarding(api.URL, "", blocks...)}), reached
}

// withoutDevice returns a tailscaled in userspace mode, which needs no address of this host.
func withoutDevice(t *testing.T) *tailscaled {
	t.Helper()
	d := newTailscaled(t)
	d.SetStatus(`{"Version":"1.102.5","TUN":false,"BackendState":"Running","TailscaleIPs":["100.64.0.7"],
		"Self":{"HostName":"box","DNSName":"box.tail.ts.net.","TailscaleIPs":["100.64.0.7"]},
		"CurrentTailnet":{"MagicDNSEnabled":true},"Health":[]}`)
	d.run(t)
	return d
}

func TestDoctorReportsGatewayChanges(t *testing.T) {
	t.Parallel()
	drop := func(name string) func(*http.Request) { return func(r *http.Request) { delete(r.Header, name) } }
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header[name] = []string{value} }
	}
	for _, row := range []struct {
		name    string
		gateway gateway
		check   string
		status  string
		words   []string
	}{
		{"keeps all", gateway{}, "gateway beta list", "ok", []string{"the client's whole list arrived"}},
		{
			"adds to the list",
			gateway{change: func(r *http.Request) { r.Header["Anthropic-Beta"][0] += ",gateway-2026" }},
			"gateway beta list", "ok",
			[]string{"the client's whole list arrived"},
		},
		{
			"adds a line to the list",
			gateway{change: func(r *http.Request) { r.Header.Add("Anthropic-Beta", "gateway-2026") }},
			"gateway beta list", "ok",
			[]string{"the client's whole list arrived"},
		},
		{
			"replaces the list",
			gateway{change: set("Anthropic-Beta", "oauth-2025-04-20")},
			"gateway beta list", "fail",
			[]string{"interleaved-thinking-2025-05-14, context-management-2025-06-27 did not arrive", "400"},
		},
		{"drops the list", gateway{change: drop("Anthropic-Beta")}, "gateway beta list", "fail", []string{"oauth-2025-04-20,", "did not arrive", "add oauth-2025-04-20"}},
		{"drops Authorization", gateway{change: drop("Authorization")}, "gateway credential", "fail", []string{"drops Authorization", "passthrough"}},
		{"puts its own key", gateway{change: set("Authorization", "Bearer sk-ant-api03-theirs")}, "gateway credential", "fail", []string{"replaces the client's Authorization", "passthrough"}},
		{"adds a key", gateway{change: set("X-Api-Key", "sk-ant-api03-theirs")}, "gateway credential", "fail", []string{"x-api-key", "passthrough"}},
		{"drops the version", gateway{change: drop("Anthropic-Version")}, "gateway headers", "fail", []string{"dropped: anthropic-version"}},
		{"changes the client's name", gateway{change: set("User-Agent", "gateway/1")}, "gateway headers", "warn", []string{"changed: user-agent"}},
		{"drops the query", gateway{change: func(r *http.Request) { r.URL.RawQuery = "" }}, "gateway path", "warn", []string{"query"}},
		{"has a base URL with /v1", gateway{change: func(r *http.Request) { r.URL.Path = "/v1" + r.URL.Path }}, "gateway path", "fail", []string{"/v1/v1/messages", "without /v1"}},
		{"buffers", gateway{response: bufferAll}, "gateway stream", "fail", []string{"buffered", "event-stream"}},
		{"breaks the response off", gateway{response: cutShort}, "gateway stream", "fail", []string{"was cut after"}},
		{"sends it twice", gateway{times: 2}, "gateway", "", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, reached := inFrontOfAPI(t, mergeBeta)
			d, code := s.doctor("--through", row.gateway.run(t, s.url()).URL)
			if row.status != "" {
				d.want(t, row.check, row.status, row.words...)
			} else if !strings.Contains(fmt.Sprint(d.of("gateway")), "2 times") {
				t.Errorf("not seen: %+v", d.of("gateway"))
			}
			if row.status == "ok" {
				for _, f := range d.Findings {
					if strings.HasPrefix(f.Check, "gateway") && f.Status != "ok" {
						t.Errorf("without a reason: %+v", f)
					}
				}
			}
			if (row.status == "fail") != (code == 1) {
				t.Errorf("exit code %d with %s", code, row.status)
			}
			if n := reached.Load(); n > 0 {
				t.Errorf("%d requests of doctor reached the upstream", n)
			}
		})
	}
}

func TestDoctorReportsWhomGatewayNames(t *testing.T) {
	t.Parallel()
	const allow = "access {\n  allow = [\"local\", \"proxied\"]\n}\n"
	const believe = allow + "identity {\n  from = [\"proxied\"]\n}\n"
	names := func(header string, values ...string) func(*http.Request) {
		return func(r *http.Request) {
			delete(r.Header, "X-Claude-Gateway-User-Email")
			r.Header[http.CanonicalHeaderKey(header)] = values
		}
	}
	adds := func(r *http.Request) { r.Header.Add("X-Claude-Gateway-User-Email", "ann@example.com") }
	const email = "x-claude-gateway-user-email"
	for _, row := range []struct {
		name, blocks string
		change       func(*http.Request)
		status       string
		words        []string
	}{
		{"nobody", allow, nil, "ok", []string{"names nobody"}},
		{"nobody, though it is believed", believe, names("X-Other", "1"), "warn", []string{email, "forward_user_identity"}},
		{"whom a client claims to be", believe, nil, "fail", []string{"anybody", "replace " + email, "identity.from"}},
		{"people, beside what a client claims", believe, adds, "fail", []string{"anybody"}},
		{"the same of another", allow + "identity {\n  from = [\"tag:gateway\"]\n}\n", nil, "ok", []string{"not in identity.from"}},
		{"people, believed", believe, names(email, "ann@example.com"), "ok", []string{email, "ann@example.com"}},
		{"people, withheld", believe + "log {\n  identity = \"none\"\n}\n", names(email, "ann@example.com"), "ok", []string{"a person whom log.identity hides"}},
		{"people, not believed", allow, names(email, "ann@example.com"), "warn", []string{
			email, "identity {\n  from   = [\"proxied\"]\n  header = \"x-claude-gateway-user-email\"\n}", "oauth-proxyd reload",
		}},
		{"people, in another header", believe, names("X-Forwarded-Email", "ann@example.com"), "warn", []string{
			"identity {\n  from   = [\"proxied\"]\n  header = \"x-forwarded-email\"\n}",
		}},
		{"several at once", believe, names(email, "ann@example.com", "bob@example.com"), "warn", []string{email, "several times"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, _ := inFrontOfAPI(t, mergeBeta, row.blocks)
			d, code := s.doctor("--through", gateway{change: row.change}.run(t, s.url()).URL)
			d.want(t, "gateway people", row.status, row.words...)
			if text := fmt.Sprint(d); (code == 1) != (row.status == "fail") || row.status != "ok" && strings.Contains(text, "@example.com") {
				t.Errorf("exit code %d: %s", code, text)
			}
		})
	}
}

func TestDoctorReportsUnreachableGateway(t *testing.T) {
	t.Parallel()
	hang := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // only then does the server notice that the client left
		<-r.Context().Done()
	}
	refuse := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"error":{"message":"no grant for claude"}}`)
	}
	other := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Proxy-Status", "oauth-proxyd; error=http_request_denied")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"error":{"message":"oauth-proxyd@other: you are not admitted"}}`)
	}
	for _, row := range []struct {
		name  string
		url   func(t *testing.T, s *service) string
		words []string
	}{
		{"it is not there", func(*testing.T, *service) string { return "http://127.0.0.1:9" }, []string{"127.0.0.1:9: dial tcp 127.0.0.1:9: ", "refused; the request did not reach this daemon"}},
		{"its name is unknown", func(*testing.T, *service) string { return "http://gateway.invalid" }, []string{"gateway.invalid: no such host: gateway.invalid"}},
		{
			"it does not reach us", func(t *testing.T, _ *service) string { return gateway{}.run(t, "http://127.0.0.1:9").URL },
			[]string{"502", "did not reach this daemon", "doctor --peer", "http://box.tail.ts.net:"},
		},
		{
			"it refuses on its own", func(t *testing.T, s *service) string { return gateway{instead: refuse}.run(t, s.url()).URL },
			[]string{"403", "a grant in the gateway"},
		},
		{
			"it leads to another daemon", func(t *testing.T, s *service) string { return gateway{instead: other}.run(t, s.url()).URL },
			[]string{"403", "oauth-proxyd@other"},
		},
		{"it hangs", func(t *testing.T, s *service) string { return gateway{instead: hang}.run(t, s.url()).URL }, []string{"timeout awaiting response headers; the request did not reach this daemon"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, _ := inFrontOfAPI(t, mergeBeta)
			d, code := s.doctor("--through", row.url(t, s))
			d.want(t, "gateway", "fail", row.words...)
			if code != 1 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// For a gateway with its own login, such as claude gateway, doctor gives no verdict but says what
// to do.
func TestDoctorBeforeAGatewayWithLogin(t *testing.T) {
	t.Parallel()
	refuse := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"type":"error","error":{"type":"authentication_error","message":"invalid token"}}`)
	}
	s, _ := inFrontOfAPI(t, mergeBeta)
	d, code := s.doctor("--through", gateway{instead: refuse}.run(t, s.url()).URL)
	d.want(t, "gateway", "unknown", "401: authentication_error", "claude -p hi", "journalctl -u oauth-proxyd")
	if code != 0 {
		t.Errorf("exit code %d: %+v", code, d.Findings)
	}
}

func TestProbeObeysAccessRules(t *testing.T) {
	t.Parallel()
	s, reached := inFrontOfAPI(t, mergeBeta, "access {\n  allow = [\"tailnet\"]\n}")
	d, code := s.doctor("--through", gateway{}.run(t, s.url()).URL)
	d.want(t, "gateway", "fail", "was refused", "source local", `allow = ["tailnet", "local"]`, "oauth-proxyd reload")
	if code != 1 || reached.Load() > 0 {
		t.Errorf("exit code %d, %d requests reached the upstream", code, reached.Load())
	}
}

func TestProbeTokenIsNeverShown(t *testing.T) {
	t.Parallel()
	s, _ := inFrontOfAPI(t, mergeBeta)
	url := gateway{change: func(r *http.Request) { r.Header.Set("Authorization", "Bearer sk-ant-api03-theirs") }}.run(t, s.url()).URL
	_, out, errs := s.command("doctor", "--config", s.file(), "--through", url)
	for _, text := range []string{out, errs, s.log.Text()} {
		if strings.Contains(text, "sk-ant-oat01-doctor-") || strings.Contains(text, "sk-ant-api03") {
			t.Errorf("a token is in %q", text)
		}
	}
}
