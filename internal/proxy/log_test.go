package proxy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"oauth-proxyd/internal/config"
)

// counter is the value of a metric, the sum over labels that contain the given values.
func counter(t testing.TB, d *door, name string, values ...string) (sum float64) {
	t.Helper()
	sum, _ = series(t, d, name, values...)
	return sum
}

// series returns the sum and the number of the series of a metric that have all these values of
// labels.
func series(t testing.TB, d *door, name string, values ...string) (sum float64, n int) {
	t.Helper()
	families, err := d.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			lacks := func(v string) bool { return !slices.Contains(labels, v) }
			if f.GetName() == name && !slices.ContainsFunc(values, lacks) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
				n++
			}
		}
	}
	return sum, n
}

// A client writes only so much into the log.
func TestLogTextIsBounded(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}))
	r := request(t, "GET", d.url("/"+strings.Repeat("p", 5000)), nil)
	r.Header.Set("X-Claude-Code-Session-Id", strings.Repeat("s", 5000))
	do(t, newClient(t), r)
	if line := d.log.requests(t, 1)[0]; len(line) > 1500 {
		t.Errorf("%d bytes: %s", len(line), line)
	}
}

// Tokens and names in the texts that are logged are not: a client may confuse its headers.
func TestTokensInLoggedTextsAreMasked(t *testing.T) {
	up := newUpstream(t, "http1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Request-Id", "req_sk-ant-oat01-SECRET")
	})
	d := openDoor(t, up)
	for i, session := range []string{"SK-ant-oat01-SECRET", "SECRET@example.com", "SECRET of ann", "6f1e9a2c-0000-4000-8000-000000000000"} {
		r := request(t, "GET", d.url("/a/SK-ant-api03-SECRET/b/%2573k%2Dant%2Dapi03-SECRET"), nil)
		r.Header.Set("X-Claude-Code-Session-Id", session)
		r.Header.Set("User-Agent", "claude-cli/2.1.332-sk-ant-api03-SECRET")
		response, _ := do(t, newClient(t), r)
		line, trace := d.log.requests(t, i+1)[i], fmt.Sprint(d.found(t, response.Header.Get("X-Request-Id")))
		if strings.Contains(line+trace, "SECRET") {
			t.Errorf("%s: %s\n%s", session, line, trace)
		}
		if !strings.Contains(line, "/a/SK-ant-api03-***") || !strings.Contains(line, `"req_sk-ant-oat01-******"`) {
			t.Errorf("nothing shows that a token was there: %s", line)
		}
		if uuid := i == 3; uuid != strings.Contains(line, `"session":"`+session+`"`) {
			t.Errorf("session %s: %s", session, line)
		}
	}
}

func TestLogLine(t *testing.T) {
	up := newUpstream(t, "http1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Request-Id", "req_up")
		_, _ = io.Copy(w, r.Body)
	})
	d := openDoor(t, up, between(peerAddr, hostAddr), knows(knownPeer()), allow(config.Source{Kind: config.Tailnet}), func(s *setup) {
		s.Headers = []config.Header{{Name: "Anthropic-Beta", Value: "a", Mode: config.ModeMerge}}
	})
	r := request(t, "POST", d.url("/v1/messages%20x?q=secret"), strings.NewReader("12345"))
	r.Header.Set("Authorization", "Bearer sk-ant-oat01-secret")
	r.Header.Set("X-Claude-Code-Session-Id", "the-session")
	r.Header.Set("X-Request-Id", "req_abcdefghijklmnopqrstuvwxyZ")
	do(t, newClient(t), r)
	var line map[string]any
	if err := json.Unmarshal([]byte(d.log.requests(t, 1)[0]), &line); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"level": "INFO", "request_id": "req_abcdefghijklmnopqrstuvwxyZ", "method": "POST", "path": "/v1/messages%20x", "status": 200.0,
		"bytes_in": 5.0, "bytes_out": 5.0, "source": "tailnet", "node": "laptop.tail1.ts.net", "user": "Ann@example.com",
		"session": "the-session", "credential": "oauth", "header_rules": "anthropic-beta=added",
		"upstream_request_id": "req_up", "attempts": 1.0, "outcome": "ok",
	}
	for name, value := range want {
		if line[name] != value {
			t.Errorf("%s is %v, want %v", name, line[name], value)
		}
	}
	if eye, _ := line["msg"].(string); !regexp.MustCompile(`^POST /v1/messages%20x 200 \d+ms Ann@laptop oauth$`).MatchString(eye) {
		t.Errorf("for the eye: %q", eye)
	}
	for _, name := range []string{"duration", "first_byte"} {
		if d, ok := line[name].(float64); !ok || d <= 0 {
			t.Errorf("%s is %v", name, line[name])
		}
	}
}

func TestCredentialKinds(t *testing.T) {
	cases := []struct{ header, value, want string }{
		{"Authorization", "Bearer sk-ant-oat01-x", "oauth"},
		{"Authorization", "bearer sk-ant-oat01-x", "oauth"},
		{"Authorization", "Bearer sk-ant-api03-x", "api_key"},
		{"X-Api-Key", "anything", "api_key"},
		{"Authorization", "Bearer x", "other"},
		{"Authorization", "Basic x", "other"},
		{"Authorization", "sk-ant-oat01-x", "other"},
		{"X-Other", "x", "none"},
	}
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}))
	c := newClient(t)
	for i, one := range cases {
		r := request(t, "GET", d.url("/"), nil)
		r.Header.Set(one.header, one.value)
		do(t, c, r)
		if line := d.log.requests(t, i+1)[i]; !strings.Contains(line, `"credential":"`+one.want+`"`) {
			t.Errorf("%s: %s: want %s in %s", one.header, one.value, one.want, line)
		}
	}
}

// The log has no planted secret, whatever happens to the requests.
func TestNothingSecretIsLogged(t *testing.T) {
	const secret = "PLANTED"
	responses := map[string]string{
		"whole":             "HTTP/1.1 200 OK\r\nX-Secret: PLANTED\r\nSet-Cookie: PLANTED\r\nContent-Length: 7\r\n\r\nPLANTED",
		"no HTTP":           "PLANTED\r\n\r\n",
		"bad header":        "HTTP/1.1 200 OK\r\nPLANTED\r\n\r\n",
		"folded header":     "HTTP/1.1 200 OK\r\n PLANTED\r\n\r\n",
		"unnamed header":    "HTTP/1.1 200 OK\r\nX PLANTED: PLANTED\r\n\r\n",
		"bad status":        "HTTP/1.1 PLANTED OK\r\n\r\n",
		"bad version":       "PLANTED/1.1 200 OK\r\n\r\n",
		"bad length":        "HTTP/1.1 200 OK\r\nContent-Length: PLANTED\r\n\r\n",
		"bad coding":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: PLANTED\r\n\r\n",
		"bad chunk":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nPLANTED\r\n",
		"bad trailer":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nPLANTED\r\n\r\n",
		"bad trailer names": "HTTP/1.1 200 OK\r\nTrailer: Content-Length, PLANTED\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"short":             "HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\nPLANTED",
		"switch":            "HTTP/1.1 101 PLANTED\r\nUpgrade: PLANTED\r\n\r\n",
	}
	requests := map[string]string{
		"plain": "POST /a?k=PLANTED HTTP/1.1\r\nHost: PLANTED\r\nAuthorization: Bearer PLANTED\r\nX-Api-Key: PLANTED\r\nCookie: PLANTED\r\nUser-Agent: PLANTED\r\n" +
			"X-Request-Id: PLANTED\r\nX-Any: PLANTED\r\nContent-Length: 7\r\n\r\nPLANTED",
		"user in the target": "GET http://PLANTED:PLANTED@h/a?PLANTED HTTP/1.1\r\nHost: h\r\n\r\n",
		"upgrade":            "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: PLANTED\r\nConnection: upgrade\r\nUpgrade: PLANTED\r\n\r\n",
		"bad chunk":          "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nPLANTED\r\n",
		"bad trailer":        "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nPLANTED\r\n\r\n",
		"folded trailer":     "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n PLANTED: x\r\n\r\n",
		"unnamed trailer":    "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX PLANTED: PLANTED\r\n\r\n",
		"bad header":         "GET /a HTTP/1.1\r\nHost: h\r\nPLANTED\r\n\r\n",
	}
	for name, response := range responses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
				if r, err := http.ReadRequest(in); err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
					_, _ = io.WriteString(c, response)
				}
			})
			d := openDoor(t, up)
			for _, text := range requests {
				conn := d.dial(t)
				conn.send(t, text)
				_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				conn.rest()
			}
			if log := d.log.String(); strings.Contains(strings.ToUpper(log), secret) {
				t.Errorf("the log has it: %s", log)
			}
		})
	}
}

// An upstream that makes statuses up makes no series.
func TestStatusesAreBounded(t *testing.T) {
	for status, want := range map[int]string{200: "200", 418: "418", 529: "529", 299: "other", 777: "other"} {
		d := openDoor(t, newUpstream(t, "http1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		do(t, newClient(t), request(t, http.MethodGet, d.url("/"), nil))
		counts(t, d, `proxy_requests_total{method="GET",status="`+want+`"}`, 1)
	}
}

func TestMetricsAreThereFromTheStart(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}), func(s *setup) {
		s.Headers = []config.Header{{Name: "X-A", Value: "1"}}
	})
	families, err := d.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, f := range families {
		series[f.GetName()] = len(f.GetMetric())
	}
	want := map[string]int{
		"proxy_upstream_errors_total": 5, "proxy_errors_total": len(contract()), "proxy_retries_total": 2, "proxy_client_gone_total": 6,
		"proxy_responses_cut_total": 5, "proxy_response_bytes_total": 1, "proxy_header_rule_total": 5,
		"proxy_time_to_first_byte_seconds": 1, "proxy_requests_in_flight": 1, "proxy_requests_queued": 1,
		"proxy_upstream_last_success_timestamp_seconds": 1,
	}
	for name, n := range want {
		if series[name] != n {
			t.Errorf("%s has %d series, want %d", name, series[name], n)
		}
		if strings.HasSuffix(name, "_total") && counter(t, d, name) != 0 {
			t.Errorf("%s is not 0", name)
		}
	}
}

func TestMetricsCountRequests(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "12345") }))
	for i, method := range []string{"GET", "MADE-UP", "POST", "X" + strings.Repeat("Y", 200)} {
		conn := d.dial(t)
		conn.send(t, method+" / HTTP/1.1\r\nHost: h\r\n\r\n")
		conn.response(t, method)
		d.log.requests(t, i+1)
	}
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"proxy_requests_total", []string{"200", "GET"}, 1},
		{"proxy_requests_total", []string{"200", "other"}, 2},
		{"proxy_requests_total", nil, 4},
		{"proxy_request_duration_seconds", []string{"200"}, 4},
		{"proxy_time_to_first_byte_seconds", nil, 4},
		{"proxy_response_bytes_total", nil, 20},
		{"proxy_requests_in_flight", nil, 0},
	} {
		if got := counter(t, d, c.name, c.labels...); got != c.want {
			t.Errorf("%s%v is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	if s := d.Stats(); s.Served != 4 || s.Failed != 0 || s.LastSuccess.IsZero() {
		t.Errorf("stats are %+v", s)
	}
}

func TestMetricsPassTheLinter(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}))
	do(t, newClient(t), request(t, "GET", d.url("/"), nil))
	d.log.requests(t, 1)
	problems, err := testutil.GatherAndLint(d.reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
