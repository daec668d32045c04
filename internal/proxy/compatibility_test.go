package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// The tests of this file are about what the contract between Claude Code and gateways asks for, and
// what no test of a single step says: see docs/compatibility.md.

// Every path of the contract is the API's business, not ours: the request arrives there, and so
// does the API's 404 at the client, from which it falls back.
func TestPathsOfTheGatewayContractPass(t *testing.T) {
	const notFound = `{"type":"error","error":{"type":"not_found_error","message":"Not found"},"request_id":"req_1"}`
	forEachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Saw", r.Method+" "+r.RequestURI)
		http.Error(w, notFound, http.StatusNotFound)
	}, func(t *testing.T, up *mockAPI) {
		d, client := openDoor(t, up), newClient(t)
		for _, line := range []string{
			"HEAD /", "HEAD /api/hello",
			"POST /v1/messages", "POST /v1/messages?beta=true", "POST /v1/messages/count_tokens",
			"GET /v1/models", "GET /managed/settings", "GET /api/oauth/usage",
			"POST /v1/metrics", "POST /v1/logs", "POST /v1/traces",
			"GET /.well-known/oauth-authorization-server", "POST /oauth/device_authorization", "POST /oauth/token",
		} {
			method, target, _ := strings.Cut(line, " ")
			response, body := do(t, client, request(t, method, d.url(target), nil))
			if response.StatusCode != http.StatusNotFound || response.Header.Get("X-Saw") != line || response.Header.Get("Proxy-Status") != "" {
				t.Errorf("%s: %s, header %v", line, response.Status, response.Header)
			}
			if method != http.MethodHead && strings.TrimSpace(body) != notFound {
				t.Errorf("%s: %s", line, body)
			}
		}
	})
}

// Fields, betas and headers that nobody here knows are passed on, and the length that the client
// has set stays one. A length that became chunks would be refused by servers that want one.
func TestUnknownInputPasses(t *testing.T) {
	const sent = `{"model":"m",  "safeguards":{"mode":"auto"}, "tags":{"team":"a"}, "field_of_next_year":[1.0e2, "\u00e9"]}`
	const returned = `{"type":"message",  "safeguard_results":[{"ok":true}], "field_of_next_year":null}`
	header := http.Header{
		"Anthropic-Beta":                          {"request-tags-2026-08-21,beta-of-next-year"},
		"Anthropic-Version":                       {"2026-10-21"},
		"X-App":                                   {"cli"},
		"X-Stainless-Retry-Count":                 {"0"},
		"X-Claude-Code-Session-Id":                {"s"},
		"X-Claude-Code-Managed-Settings-Checksum": {"sha256:1"},
		"X-Header-Of-Next-Year":                   {"1"},
		"Traceparent":                             {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
		"Authorization":                           {"Bearer sk-ant-oat01-x"},
		"User-Agent":                              {"claude-cli/9.9.9 (external, cli)"},
		"Accept":                                  {"application/json"},
		"Accept-Encoding":                         {"gzip, deflate, br, zstd"},
		"Content-Type":                            {"application/json"},
		"Anthropic-Dangerous-Direct-Browser-Access": {"true"},
	}
	forEachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) != sent || r.ContentLength != int64(len(sent)) {
			t.Errorf("the upstream received %q with the length %d", body, r.ContentLength)
		}
		for name, want := range header {
			if !slices.Equal(r.Header[name], want) {
				t.Errorf("the upstream received %s: %q, want %q", name, r.Header[name], want)
			}
		}
		w.Header().Set("X-Header-Of-Next-Year", "2")
		_, _ = io.WriteString(w, returned)
	}, func(t *testing.T, up *mockAPI) {
		r := request(t, "POST", openDoor(t, up).url("/v1/messages?beta=true"), strings.NewReader(sent))
		r.Header = header.Clone()
		response, body := do(t, newClient(t), r)
		if response.StatusCode != http.StatusOK || body != returned || response.Header.Get("X-Header-Of-Next-Year") != "2" {
			t.Errorf("%s %v: %s", response.Status, response.Header, body)
		}
	})
}

// The API's error, and its headers about retries and usage, arrive as they were sent, for each
// status of the contract.
func TestErrorsOfTheUpstreamPass(t *testing.T) {
	header := http.Header{
		"Content-Type":                       {"application/json"},
		"Request-Id":                         {"req_of_the_api"},
		"Retry-After":                        {"37800"},
		"X-Should-Retry":                     {"false"},
		"Anthropic-Ratelimit-Unified-Status": {"rejected"},
		"Anthropic-Ratelimit-Unified-Reset":  {"1786147200"},
		"Anthropic-Ratelimit-Unified-Overage-Utilization": {"1"},
	}
	statuses := map[string]int{
		"invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
		"not_found_error": 404, "request_too_large": 413, "rate_limit_error": 429, "api_error": 500,
		"not_supported": 501, "timeout_error": 504, "overloaded_error": 529,
	}
	body := func(kind string) string {
		return fmt.Sprintf(`{"type":"error",  "error":{"type":%q,"message":"prompt is too long: 2 > 1"},"request_id":"req_of_the_api"}`, kind)
	}
	forEachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), header)
		kind := r.Header.Get("X-Kind")
		w.WriteHeader(statuses[kind])
		_, _ = io.Copy(w, bytes.NewBufferString(body(kind)))
	}, func(t *testing.T, up *mockAPI) {
		d, client := openDoor(t, up), newClient(t)
		for kind, status := range statuses {
			r := request(t, "POST", d.url("/v1/messages"), strings.NewReader("{}"))
			r.Header.Set("X-Kind", kind)
			response, got := do(t, client, r)
			if response.StatusCode != status || got != body(kind) || response.Header.Get("Proxy-Status") != "" {
				t.Errorf("%d %s: %s %v %s", status, kind, response.Status, response.Header, got)
			}
			for name, want := range header {
				if !slices.Equal(response.Header[name], want) {
					t.Errorf("%s: %s is %q, want %q", kind, name, response.Header[name], want)
				}
			}
		}
	})
}
