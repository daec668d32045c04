package proxy_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"oauth-proxyd/internal/config"
)

// contract is what a client is told with each code, as the manual promises it: the error.type of
// the API, and whether a retry is pointless.
func contract() map[string]struct {
	errorType string
	final     bool
} {
	return map[string]struct {
		errorType string
		final     bool
	}{
		"invalid_request":          {"invalid_request_error", true},
		"loop_detected":            {"invalid_request_error", true},
		"access_denied":            {"permission_error", true},
		"browser_refused":          {"permission_error", true},
		"client_idle_timeout":      {"timeout_error", false},
		"request_too_large":        {"request_too_large", true},
		"headers_too_large":        {"invalid_request_error", true},
		"upgrade_refused":          {"not_supported", true},
		"upstream_connect":         {"api_error", false},
		"upstream_protocol":        {"api_error", false},
		"upstream_interrupted":     {"api_error", false},
		"upstream_idle_timeout":    {"api_error", false},
		"overloaded":               {"overloaded_error", false},
		"draining":                 {"api_error", false},
		"tailnet_unavailable":      {"api_error", false},
		"cancelling_too_fast":      {"api_error", false},
		"upstream_connect_timeout": {"timeout_error", false},
		"upstream_header_timeout":  {"timeout_error", false},
		"internal":                 {"api_error", false},
	}
}

// ours checks that a response is one of our own, whole in each part.
func ours(t *testing.T, response *http.Response, body string, status int, code, proxyStatus string) {
	t.Helper()
	oursBody(t, body, code, response.Header.Get("X-Request-Id"))
	if response.StatusCode != status {
		t.Errorf("status %d, want %d", response.StatusCode, status)
	}
	h, retry := response.Header, ""
	if contract()[code].final {
		retry = "false"
	}
	if h.Get("Proxy-Status") != "oauth-proxyd; error="+proxyStatus || h.Get("Content-Type") != "application/json" ||
		h.Get("Content-Length") != strconv.Itoa(len(body)) || (h.Get("Retry-After") != "") != (status == 503) ||
		h.Get("X-Should-Retry") != retry {
		t.Errorf("header %v", h)
	}
}

// oursBody checks a body of our own, of a response or of an event.
func oursBody(t *testing.T, body, code, id string) {
	t.Helper()
	var got struct {
		Type  string `json:"type"`
		Error struct {
			Type    string `json:"type"`
			Message string `json:"message"`
			Details struct {
				ErrorCode string `json:"error_code"`
			} `json:"details"`
		} `json:"error"`
		RequestID string `json:"request_id"`
	}
	strict := json.NewDecoder(strings.NewReader(body))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&got); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	want, known := contract()[code]
	if got.Error.Details.ErrorCode != code || !known || got.Error.Type != want.errorType {
		t.Errorf("code %q, type %q, want %q, %q", got.Error.Details.ErrorCode, got.Error.Type, code, want.errorType)
	}
	if got.Type != "error" || got.RequestID != id {
		t.Errorf("body %s with request id %q", body, id)
	}
	if !strings.HasPrefix(got.Error.Message, "oauth-proxyd@host: ") || !regexp.MustCompile(`^req_[0-9A-Za-z]{26}$`).MatchString(id) {
		t.Errorf("message %q, request id %q", got.Error.Message, id)
	}
}

func TestRefusals(t *testing.T) {
	const head = " HTTP/1.1\r\nHost: h\r\n"
	cases := []struct {
		name, sent string
		status     int
		code, text string
	}{
		{"websocket", "GET /a" + head + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 501, "upgrade_refused", "http_request_error"},
		{"h2c and websocket", "GET /a" + head + "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n", 501, "upgrade_refused", "http_request_error"},
		{"upgrade with a body", "POST /a" + head + "Connection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 5\r\n\r\nabcde", 501, "upgrade_refused", "http_request_error"},
		{"upgrade whose body does not come", "POST /a" + head + "Connection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 5\r\n\r\nab", 501, "upgrade_refused", "http_request_error"},
		{"connect", "CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n", 400, "invalid_request", "http_request_error"},
		{"connect with a path", "CONNECT /a" + head + "\r\n", 400, "invalid_request", "http_request_error"},
		{"length above the limit", "POST /a" + head + "Content-Length: 1001\r\n\r\n", 413, "request_too_large", "http_request_error"},
		{"length far above the limit", "POST /a" + head + "Content-Length: 9223372036854775807\r\n\r\nabc", 413, "request_too_large", "http_request_error"},
		{"length above the limit, to be asked for", "POST /a" + head + "Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n", 413, "request_too_large", "http_request_error"},
		{"header above the limit", headerOf(80 << 10), 431, "headers_too_large", "http_request_error"},
		{"many headers", "POST /a" + head + strings.Repeat("X-A: b\r\n", 12<<10) + "\r\n", 431, "headers_too_large", "http_request_error"},
		{"header that does not end", "POST /a" + head + "X-A: " + strings.Repeat("a", 90<<10), 431, "headers_too_large", "http_request_error"},
		{"no host", "GET /a HTTP/1.1\r\n\r\n", 400, "invalid_request", "http_request_error"},
		{"bad header name", "POST /a" + head + "secret(: b\r\n\r\n", 400, "invalid_request", "http_request_error"},
		{"NUL in a header", "POST /a" + head + "A: secret\x00\r\n\r\n", 400, "invalid_request", "http_request_error"},
		{"bad length", "POST /a" + head + "Content-Length: secret\r\n\r\n", 400, "invalid_request", "http_request_error"},
		{"two lengths", "POST /a" + head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "invalid_request", "http_request_error"},
		{"garbage", "secret\r\n\r\n", 400, "invalid_request", "http_request_error"},
		{"TLS", "\x16\x03\x01\x00\x05secret\n" + strings.Repeat("a", 200), 400, "invalid_request", "http_request_error"},
		{"unknown coding", "POST /a" + head + "Transfer-Encoding: secret\r\n\r\n", 501, "invalid_request", "http_request_error"},
		{"unknown version", "POST /a HTTP/3.0\r\nHost: h\r\n\r\n", 505, "invalid_request", "http_request_error"},
		{"unknown expectation", "POST /a" + head + "Expect: secret\r\n\r\n", 417, "invalid_request", "http_request_error"},
		{"chunks above the limit", "POST /a" + head + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + strings.Repeat("a", 1001), 413, "request_too_large", "http_request_error"},
	}
	up := newUpstream(t, "http1", func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err == nil {
			t.Errorf("the upstream had a whole request %s %s", r.Method, r.RequestURI)
		}
	})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := openDoor(t, up, func(s *setup) { s.Proxy.MaxRequestBody = 1000 })
			conn := d.dial(t)
			if _, n := series(t, d, "proxy_requests_total", strconv.Itoa(c.status)); n == 0 {
				t.Errorf("no series shows the first %d", c.status)
			}
			conn.send(t, c.sent)
			response, body := conn.response(t, "POST")
			ours(t, response, body, c.status, c.code, c.text)
			if looksTLS := strings.Contains(body, "begin with http://"); looksTLS != (c.name == "TLS") || strings.Contains(body, "secret") {
				t.Errorf("the body is %s", body)
			}
			if line := d.log.requests(t, 1)[0]; strings.Contains(line, "secret") || !strings.Contains(line, `"outcome":"`+c.code+`"`) {
				t.Errorf("logged as %s", line)
			}
			if counter(t, d, "proxy_errors_total", c.code) != 1 || counter(t, d, "proxy_upstream_errors_total", "invalid_request") != 1 {
				t.Error("not counted")
			}
		})
	}
}

// A client that ends its sending side within its header has sent no request: nothing counts it.
func TestHalfHeaderIsNotARequest(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) { t.Error("it came through") }))
	conn := d.dial(t)
	conn.send(t, "GET /a HTTP/1.1\r\nHost: h")
	_ = conn.Conn.(*net.TCPConn).CloseWrite()
	if rest := conn.rest(); strings.Contains(rest, "oauth-proxyd") {
		t.Errorf("it got %q", rest)
	}
	if n := counter(t, d, "proxy_errors_total", "invalid_request"); n != 0 {
		t.Errorf("%v requests are counted", n)
	}
}

// A sender without access learns nothing else from a request that net/http refuses.
func TestMalformedRequestOfStranger(t *testing.T) {
	up := newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) { t.Error("it came through") })
	conn := openDoor(t, up, allow(config.Source{Kind: config.Tailnet})).dial(t)
	conn.send(t, "secret\r\n\r\n")
	response, body := conn.response(t, "POST")
	ours(t, response, body, 403, "access_denied", "http_request_denied")
}

func TestMalformedSecondRequest(t *testing.T) {
	const first, second = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "secret\r\n\r\n" + smuggled
	for name, parts := range map[string][]string{"later": {first, second}, "at once": {first + second, ""}} {
		t.Run(name, func(t *testing.T) {
			conn := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {})).dial(t)
			conn.send(t, parts[0])
			if response, _ := conn.response(t, "GET"); response.StatusCode != 200 {
				t.Errorf("first came a %d", response.StatusCode)
			}
			conn.send(t, parts[1])
			response, body := conn.response(t, "POST")
			ours(t, response, body, 400, "invalid_request", "http_request_error")
			if rest := conn.rest(); rest != "" {
				t.Errorf("then came %q", rest)
			}
		})
	}
}

func TestBodyOfExactlyTheLimitPasses(t *testing.T) {
	up := newUpstream(t, "http1", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})
	d := openDoor(t, up, func(s *setup) { s.Proxy.MaxRequestBody = 1000 })
	for _, body := range []io.Reader{strings.NewReader(strings.Repeat("a", 1000)), io.MultiReader(strings.NewReader(strings.Repeat("a", 1000)))} {
		if response, got := do(t, newClient(t), request(t, "POST", d.url("/"), body)); response.StatusCode != 200 || len(got) != 1000 {
			t.Errorf("status %d, %d bytes", response.StatusCode, len(got))
		}
	}
}

// A denied client that sends only a part of its body has its response at once, and keeps nothing.
func TestDeniedClientIsNotWaitedFor(t *testing.T) {
	up := newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) { t.Error("a denied request came through") })
	d := openDoor(t, up, allow(config.Source{Kind: config.Tailnet}))
	conn := d.dial(t)
	conn.send(t, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nab")
	response, body := conn.response(t, "POST")
	ours(t, response, body, 403, "access_denied", "http_request_denied")
	conn.send(t, strings.Repeat("a", 998)+smuggled)
	if rest := conn.rest(); rest != "" {
		t.Errorf("then came %q", rest)
	}
}

func TestQueueIsFull(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	up := newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) { close(entered); <-leave })
	d := openDoor(t, up, func(s *setup) { s.Proxy.MaxConnections, s.Proxy.QueueLimit = 1, 0 })
	first := d.dial(t)
	first.send(t, smuggled)
	receive(t, entered, "the first request")
	response, body := do(t, newClient(t), request(t, "GET", d.url("/"), nil))
	ours(t, response, body, 503, "overloaded", "connection_limit_reached")
	close(leave)
	first.response(t, "GET")
}

func TestUpstreamThatRefusesConnections(t *testing.T) {
	l := listenTCP(t)
	up := scriptedUpstream(t, nil)
	up.url.Host = l.Addr().String()
	_ = l.Close()
	d := openDoor(t, up)
	response, body := do(t, newClient(t), request(t, "GET", d.url("/"), nil))
	ours(t, response, body, 502, "upstream_connect", "destination_unavailable")
	if strings.Contains(body, "refused:") {
		t.Errorf("the body tells of the inside: %s", body)
	}
}

func TestRequestIDs(t *testing.T) {
	const good = "req_abcdefghijklmnopqrstuvwxyZ"
	cases := []struct {
		name     string
		sent     []string
		upstream string
		want     string // "": a fresh one
	}{
		{"none", nil, "", ""},
		{"the client's", []string{good}, "", good},
		{"too short", []string{"req_abc"}, "", ""},
		{"too long", []string{good + "a"}, "", ""},
		{"another prefix", []string{"rex_abcdefghijklmnopqrstuvwxyZ"}, "", ""},
		{"an odd letter", []string{"req_abcdefghijklmnopqrstuvwxy\""}, "", ""},
		{"two", []string{good, good}, "", ""},
		{"the upstream's", nil, "up-1", "up-1"},
		{"the upstream's, not the client's", []string{good}, "up-1", "up-1"},
	}
	fresh := regexp.MustCompile(`^req_[0-9A-Z]{26}$`)
	seen := map[string]bool{}
	forEachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		if id := r.URL.RawQuery; id != "" {
			w.Header().Set("X-Request-Id", id)
		}
	}, func(t *testing.T, up *mockAPI) {
		d := openDoor(t, up)
		c := newClient(t)
		for i, one := range cases {
			r := request(t, "GET", d.url("/?"+one.upstream), nil)
			r.Header["X-Request-Id"] = one.sent
			response, _ := do(t, c, r)
			ids := response.Header["X-Request-Id"]
			if len(ids) != 1 || one.want != "" && ids[0] != one.want || one.want == "" && !fresh.MatchString(ids[0]) {
				t.Errorf("%s: got %q, want %q", one.name, ids, one.want)
			}
			if one.want == "" && seen[ids[0]] {
				t.Errorf("%s: %q came twice", one.name, ids)
			}
			seen[ids[0]] = true
			if line := d.log.requests(t, i+1)[i]; strings.Contains(line, good) != (len(one.sent) == 1 && one.sent[0] == good) {
				t.Errorf("%s: logged as %s", one.name, line)
			}
		}
	})
}

// A client that sends all of its body before it reads has its refusal nevertheless: a connection
// closed at once would be reset by what still comes.
func TestRefusalReachesSendingClient(t *testing.T) {
	up := newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {})
	d := openDoor(t, up, func(s *setup) { s.Proxy.MaxRequestBody = 1000 })
	for range 10 {
		conn := d.dial(t)
		conn.send(t, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
		eventually(t, "it is refused", func() bool { return len(d.log.requests(t, 0)) > 0 })
		_, _ = io.CopyN(conn, nulls{}, 1_000_000) // an error of this is what is lost with the response
		response, body := conn.response(t, "POST")
		ours(t, response, body, 413, "request_too_large", "http_request_error")
	}
}

// Of a body without an end no more is read than may help the client to its response.
func TestTooLargeBodyIsNotReadOn(t *testing.T) {
	const most = 64 << 20 // with what the kernel holds of it
	up := newUpstream(t, "http1", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	d := openDoor(t, up, func(s *setup) { s.Proxy.MaxRequestBody = 1000 })
	conn := d.dial(t)
	conn.send(t, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n")
	sent := make(chan int64, 1)
	go func() {
		n, _ := io.CopyN(conn, nulls{}, 1<<30)
		sent <- n
	}()
	response, body := conn.response(t, "POST")
	ours(t, response, body, 413, "request_too_large", "http_request_error")
	if n := receive(t, sent, "the end of the sending"); n > most {
		t.Errorf("%d bytes could be sent", n)
	}
}
