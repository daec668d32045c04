package proxy_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/config"
)

// tellHeaders responses with the header that it saw.
func tellHeaders(w http.ResponseWriter, r *http.Request) {
	_ = json.NewEncoder(w).Encode(r.Header)
}

// sawHeaders sends lines in a request and gives what the upstream saw.
func sawHeaders(t *testing.T, d *door, lines ...string) http.Header {
	t.Helper()
	conn := d.dial(t)
	conn.send(t, "GET /v1/messages HTTP/1.1\r\nHost: h\r\n"+strings.Join(append(lines, "", ""), "\r\n"))
	response, body := conn.response(t, "GET")
	saw := http.Header{}
	if err := json.Unmarshal([]byte(body), &saw); err != nil {
		t.Fatalf("status %d: %s", response.StatusCode, body)
	}
	return saw
}

func TestRequestHeaders(t *testing.T) {
	cases := []struct {
		name string
		sent []string
		want http.Header // all of it
	}{
		{"nothing is invented", nil, http.Header{}},
		{"credentials pass", []string{"Authorization: Bearer sk-ant-oat01-x", "X-Api-Key: k"}, http.Header{"Authorization": {"Bearer sk-ant-oat01-x"}, "X-Api-Key": {"k"}}},
		{"values in their order", []string{"X-A: 1", "X-B: 2", "X-A: 3", "X-A: 2,1"}, http.Header{"X-A": {"1", "3", "2,1"}, "X-B": {"2"}}},
		{"empty value", []string{"X-A:"}, http.Header{"X-A": {""}}},
		{"user agent and accept-encoding are the client's", []string{"User-Agent: me/1", "Accept-Encoding: br, zstd"}, http.Header{"User-Agent": {"me/1"}, "Accept-Encoding": {"br, zstd"}}},
		{"request id", []string{"X-Request-Id: anything"}, http.Header{"X-Request-Id": {"anything"}}},
		{"listed in connection", []string{"Connection: X-Hop, x-other ,,keep-alive", "X-Hop: 1", "X-Other: 2", "X-Stay: 3"}, http.Header{"X-Stay": {"3"}}},
		{"listed in the second connection line", []string{"Connection: keep-alive", "Connection: X-Hop", "X-Hop: 1"}, http.Header{}},
		{"hop by hop", []string{"Keep-Alive: 5", "Proxy-Authenticate: a", "Proxy-Authorization: b", "Proxy-Connection: keep-alive", "TE: gzip", "Trailer: X-T"}, http.Header{}},
		{"te: trailers", []string{"Connection: TE", "TE: gzip;q=1, Trailers"}, http.Header{"Te": {"trailers"}}},
		{"h2c offer", []string{"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"}, http.Header{}},
		{"spoofed", []string{
			"Tailscale-User-Login: a", "tailscale-anything: b", "X-Forwarded-For: 1.2.3.4", "x-forwarded-host: c",
			"X-Forwarded-Proto: https", "Forwarded: for=a", "X-Real-IP: 1.2.3.4", "Via: 1.1 a",
			"CF-Connecting-IP: 1.2.3.4", "True-Client-IP: 1.2.3.4", "X-Client-IP: 1.2.3.4",
			"X-Claude-Gateway-User-Email: a@example.com", "x-claude-gateway-user-id: 1", "X-Claude-Gateway-User: a", "X-Claude-Gateway-Org: 1",
		}, http.Header{}},
		{"spoofed, with underscores", []string{
			"X_Claude_Gateway_User_Email: a@example.com", "x-claude_gateway-user: a", "x_forwarded_for: 1.2.3.4", "Tailscale_User_Login: a", "x_person: a",
		}, http.Header{}},
		{"names that only look like those", []string{
			"X-Forward: 1", "Tailscales: 2", "X-Via: 3", "X-Client-IP-Kind: 4", "X-Claude-Gateway: 5",
		}, http.Header{
			"X-Forward": {"1"}, "Tailscales": {"2"}, "X-Via": {"3"}, "X-Client-Ip-Kind": {"4"}, "X-Claude-Gateway": {"5"},
		}},
		{"bytes above 127", []string{"X-A: \xc3\xa9\xff"}, http.Header{"X-A": {"é\ufffd"}}}, // JSON's replacement for the last byte
		{"cookies", []string{"Cookie: a=1; b=2"}, http.Header{"Cookie": {"a=1; b=2"}}},
	}
	allowAll := func(s *setup) {
		s.Access.Allow = append(s.Access.Allow, config.Source{Kind: config.Proxied})
		s.Identity.Header = "X-Person"
	}
	forEachProtocol(t, tellHeaders, func(t *testing.T, up *mockAPI) {
		d := openDoor(t, up, allowAll)
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				if got := sawHeaders(t, d, c.sent...); !equalHeaders(got, c.want) {
					t.Errorf("the upstream saw %q, want %q", got, c.want)
				}
			})
		}
	})
}

// Over HTTP/2 net/http sends one that is not empty, and no more.
func TestOddUserAgentsOverHTTP1(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", tellHeaders))
	for _, want := range [][]string{{""}, {"me/1", "you/2"}, {"", "me/1"}} {
		var lines []string
		for _, agent := range want {
			lines = append(lines, "User-Agent: "+agent)
		}
		if got := sawHeaders(t, d, lines...); !slices.Equal(got["User-Agent"], want) {
			t.Errorf("the upstream saw %q, want %q", got["User-Agent"], want)
		}
	}
}

func equalHeaders(a, b http.Header) bool {
	if len(a) != len(b) {
		return false
	}
	for name := range a {
		if !slices.Equal(a[name], b[name]) {
			return false
		}
	}
	return true
}

func TestRulesThroughTheDoor(t *testing.T) {
	beta := config.Header{
		Name: "Anthropic-Beta", Value: "oauth-2025-04-20", Mode: config.ModeMerge,
		When: config.When{BearerPrefix: "sk-ant-oat", PathPrefix: "/v1/", Listener: "proxy"},
	}
	later := config.Header{Name: "Authorization", Mode: config.ModeRemove} // what one rule changes, no other one sees
	cases := []struct {
		name  string
		rules []config.Header
		sent  []string
		want  []string // anthropic-beta
	}{
		{"added", []config.Header{beta}, []string{"Authorization: Bearer sk-ant-oat01-x"}, []string{"oauth-2025-04-20"}},
		{"merged", []config.Header{beta}, []string{"Authorization: bearer  sk-ant-oat01-x", "anthropic-beta: b, a", "Anthropic-Beta: c"}, []string{"b,a,c,oauth-2025-04-20"}},
		{"there already", []config.Header{beta}, []string{"Authorization: Bearer sk-ant-oat01-x", "Anthropic-Beta: oauth-2025-04-20, a"}, []string{"oauth-2025-04-20,a"}},
		{"another credential", []config.Header{beta}, []string{"Authorization: Bearer sk-ant-api03-x", "Anthropic-Beta: b, a"}, []string{"b, a"}},
		{"no credential", []config.Header{beta}, nil, nil},
		{"conditions see the client's request", []config.Header{later, beta}, []string{"Authorization: Bearer sk-ant-oat01-x"}, []string{"oauth-2025-04-20"}},
		{"listed in connection", []config.Header{beta}, []string{"Authorization: Bearer sk-ant-oat01-x", "Connection: anthropic-beta", "Anthropic-Beta: a"}, []string{"oauth-2025-04-20"}},
	}
	up := newUpstream(t, "http1", tellHeaders)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := openDoor(t, up, func(s *setup) { s.Headers = c.rules })
			if got := sawHeaders(t, d, c.sent...)["Anthropic-Beta"]; !slices.Equal(got, c.want) {
				t.Errorf("the upstream saw %q, want %q", got, c.want)
			}
		})
	}
}

func TestRuleForAnotherListenerIsSkipped(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", tellHeaders), func(s *setup) {
		s.Headers = []config.Header{{Name: "X-A", Value: "1", When: config.When{Listener: "other"}}}
	})
	if got := sawHeaders(t, d); len(got) > 0 {
		t.Errorf("the upstream saw %q, want nothing", got)
	}
	if !strings.Contains(d.log.requests(t, 1)[0], `"header_rules":"x-a=skipped"`) {
		t.Errorf("the log does not say so: %s", d.log)
	}
}

func TestRequestKeepsItsSettings(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	up := newUpstream(t, "http1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-leave
		}
		tellHeaders(w, r)
	})
	d := openDoor(t, up)
	slow := make(chan string, 1)
	go func() {
		_, body := do(t, newClient(t), request(t, "GET", d.url("/slow"), nil))
		slow <- body
	}()
	receive(t, entered, "the first request")
	s := d.settings
	s.Headers = []config.Header{{Name: "X-New", Value: "1"}}
	apply, err := d.Prepare(s)
	if err != nil {
		t.Fatal(err)
	}
	if before := sawHeaders(t, d); before.Get("X-New") != "" {
		t.Error("a rule that was only prepared is active")
	}
	apply()
	if after := sawHeaders(t, d); after.Get("X-New") != "1" {
		t.Error("a rule that was applied is not active")
	}
	close(leave)
	if body := receive(t, slow, "the first response"); strings.Contains(body, "X-New") {
		t.Errorf("the first request was changed: %s", body)
	}
}

func TestResponseHeaders(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\n"
	cases := []struct {
		name, sent string
		want       http.Header // all of it but x-request-id
		body       string
	}{
		{"nothing is invented", head + "Content-Length: 2\r\n\r\n<a", http.Header{"Content-Length": {"2"}}, "<a"},
		{"chunks", head + "Transfer-Encoding: chunked\r\n\r\n2\r\n<a\r\n0\r\n\r\n", http.Header{}, "<a"},
		{"until the end", head + "Connection: close\r\n\r\n<a", http.Header{}, "<a"},
		{"date and type are the upstream's", head + "Date: then\r\nContent-Type: x\r\nContent-Length: 0\r\n\r\n", http.Header{"Date": {"then"}, "Content-Type": {"x"}, "Content-Length": {"0"}}, ""},
		{"alt-svc is about the upstream", head + "Alt-Svc: h3=\":443\"; ma=86400\r\nAlt-Used: a\r\nContent-Length: 0\r\n\r\n", http.Header{"Alt-Used": {"a"}, "Content-Length": {"0"}}, ""},
		{"cookies stay apart", head + "Set-Cookie: a=1\r\nSet-Cookie: b=2, c\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n", http.Header{"Set-Cookie": {"a=1", "b=2, c", "a=1"}, "Content-Length": {"0"}}, ""},
		{"hop by hop", head + "Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Authenticate: a\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n", http.Header{"Content-Length": {"0"}}, ""},
		{"limits and retry-after", "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nAnthropic-Ratelimit-Unified-Status: rejected\r\nContent-Length: 2\r\n\r\n{}", http.Header{"Retry-After": {"7"}, "Anthropic-Ratelimit-Unified-Status": {"rejected"}, "Content-Length": {"2"}}, "{}"},
		{"redirect", "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", http.Header{"Location": {"http://elsewhere/"}, "Content-Length": {"0"}}, ""},
		{"proxy-status of the upstream", head + "Proxy-Status: cdn; error=x\r\nVia: 1.1 cdn\r\nServer: s\r\nContent-Length: 0\r\n\r\n", http.Header{"Proxy-Status": {"cdn; error=x"}, "Via": {"1.1 cdn"}, "Server": {"s"}, "Content-Length": {"0"}}, ""},
		{"unusual status", "HTTP/1.1 529 Overloaded\r\nContent-Length: 0\r\n\r\n", http.Header{"Content-Length": {"0"}}, ""},
		{"no content", "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", http.Header{"X-A": {"1"}}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := openDoor(t, responseing(t, c.sent))
			response, body := do(t, newClient(t), request(t, "GET", d.url("/"), nil))
			response.Header.Del("X-Request-Id")
			dropOurDate(t, response.Header, c.want)
			if !equalHeaders(response.Header, c.want) || body != c.body {
				t.Errorf("the client saw %q %q, want %q %q", response.Header, body, c.want, c.body)
			}
			if status := strings.Fields(c.sent)[1]; !strings.HasPrefix(response.Status, status) {
				t.Errorf("status %s, want %s", response.Status, status)
			}
		})
	}
}

func TestNotModifiedKeepsFields(t *testing.T) {
	notModified := func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["content-type"], h["content-length"], h["Etag"] = []string{"x"}, []string{"9"}, []string{`"a"`}
		w.WriteHeader(http.StatusNotModified)
	}
	forEachProtocol(t, notModified, func(t *testing.T, up *mockAPI) {
		d := openDoor(t, up)
		conn := d.dial(t)
		for range 2 { // the connection is kept
			conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			response, _ := conn.response(t, "GET")
			got := [3]string{response.Header.Get("Content-Type"), response.Header.Get("Content-Length"), response.Header.Get("Etag")}
			if got != [3]string{"x", "9", `"a"`} {
				t.Errorf("the client saw %q", got)
			}
		}
		if lines := d.log.requests(t, 2); !strings.Contains(lines[0], `"outcome":"ok"`) {
			t.Errorf("logged as %s", lines[0])
		}
	})
}

// dropOurDate takes the Date out that we add where the upstream sent none (RFC 9110 §6.6.1).
func dropOurDate(t *testing.T, got, want http.Header) {
	t.Helper()
	if want["Date"] != nil {
		return
	}
	if lines := got["Date"]; len(lines) != 1 {
		t.Errorf("Date lines %q, want one", lines)
	} else if at, err := http.ParseTime(lines[0]); err != nil || time.Since(at).Abs() > time.Hour {
		t.Errorf("Date %q: %v", lines[0], err)
	}
	got.Del("Date")
}

func TestHEAD(t *testing.T) {
	cases := []struct{ name, header string }{
		{"length", "Content-Length: 12345\r\n"},
		{"no length", ""},
		{"chunked", "Transfer-Encoding: chunked\r\n"},
		{"event stream", "Content-Type: text/event-stream\r\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			up := responseing(t, "HTTP/1.1 200 OK\r\nX-A: 1\r\n"+c.header+"\r\n")
			conn := openDoor(t, up).dial(t)
			conn.send(t, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
			response, _ := conn.response(t, "HEAD")
			length, _, _ := strings.Cut(strings.TrimPrefix(c.header, "Content-Length: "), "\r")
			if !strings.HasPrefix(c.header, "Content-Length") {
				length = ""
			}
			if response.Header.Get("X-A") != "1" || response.Header.Get("Content-Length") != length {
				t.Errorf("the client saw %v", response.Header)
			}
			conn.send(t, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n") // the connection is kept
			conn.response(t, "HEAD")
		})
	}
}

// responseing is an upstream that reads a request and responses it with text.
func responseing(t *testing.T, text string) *mockAPI {
	return scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(c, text)
			if strings.Contains(text, "Connection: close") {
				return
			}
		}
	})
}
