package sdk_test

import (
	"slices"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// The credentials as run.mjs takes them.
const (
	jsKey          = "LAB_API_KEY=" + daemontest.APIKey
	jsKeyAsBearer  = "LAB_AUTH_TOKEN=" + daemontest.APIKey
	jsSubscription = "LAB_AUTH_TOKEN=" + daemontest.OAuthToken
)

func TestJS(t *testing.T) {
	t.Parallel()
	if !hasNode(t) {
		return
	}
	install(t)
	t.Run("says the same through the daemon", testJSSaysTheSame)
	t.Run("subscription works through the daemon only", testJSSubscription)
	t.Run("abort reaches the API", testJSAbort)
	t.Run("never takes a cut response for a whole one", testJSCut)
}

func testJSSaysTheSame(t *testing.T) {
	for _, row := range []struct {
		script, credential string
		wants              []string
	}{
		{"message", jsKey, []string{"response 200", "Hello from the mock API!", "content-encoding: gzip", "anthropic-ratelimit-requests-remaining: 49"}},
		{"message", jsKeyAsBearer, []string{"response 200"}},
		{"compressed", jsKey, []string{"response 200", "Hello from the mock API!"}},
		{"stream", jsKey, []string{`event {"type":"message_start"`, `event {"type":"message_stop"`, "word by word.", `"stop_reason":"end_turn"`, `"output_tokens":2000`}},
		{"tools", jsKey, []string{"input_json_delta", `"input":{"note":"from the mock API"}`, `"stop_reason":"tool_use"`, `"stop_reason":"end_turn"`}},
		{"errors", jsKey, []string{
			"status 400 type invalid_request_error", "status 401 type authentication_error", "status 403", "status 404",
			"status 413 type request_too_large", "status 429 type rate_limit_error", "status 500", "status 529 type overloaded_error",
			"retry-after: 7", "x-should-retry: true", "request-id: req_", "anthropic-ratelimit-tokens-reset: ",
			"failed: RateLimitError", "content_block_delta", `"overloaded_error"`,
		}},
		{"retry", jsKey, []string{"response 529", "request-id: req_011000000000000000000002", "status 529 type overloaded_error"}},
		{"lookups", jsKey, []string{`count {"input_tokens":`, "listed ", "got ", "failed: NotFoundError"}},
		{"files", jsKey, []string{`uploaded {"id":"file_`, `"size_bytes":3145728`, "application/x-note", "looked up ", "listed "}},
	} {
		t.Run(row.script, func(t *testing.T) {
			onEachJS(t, func(t *testing.T, sdk jsSDK, l lane) {
				direct, through := l.playScript(t, sdk, row.script, row.credential)
				wantAll(t, direct, row.wants...)
				wantSame(t, "what the SDK says", direct, through)
				l.wantSameRequests(t, sdk.signature...)
			})
		})
	}
}

func testJSSubscription(t *testing.T) {
	const beta = "oauth-2025-04-20"
	for _, row := range []struct {
		script, wants string
		betas         []string
	}{
		{"message", "Hello from the mock API!", []string{beta, beta}},
		{"files", "uploaded ", []string{"files-api-2025-04-14," + beta, beta, beta}},
	} {
		t.Run(row.script, func(t *testing.T) {
			onEachJS(t, func(t *testing.T, sdk jsSDK, l lane) {
				direct, through := l.playScript(t, sdk, row.script, jsSubscription)
				wantAll(t, direct, "failed: AuthenticationError", "OAuth authentication is currently not supported.")
				wantAll(t, through, row.wants, "anthropic-ratelimit-unified-status: allowed")
				if got := l.through.upstream.betas(); !slices.Equal(got, row.betas) {
					t.Errorf("the API saw the betas %q, want %q", got, row.betas)
				}
			})
		})
	}
}

func testJSAbort(t *testing.T) {
	onEachJS(t, func(t *testing.T, sdk jsSDK, l lane) {
		var reports [][]string
		for _, w := range []way{l.direct, l.through} {
			s := startScript(t.Context(), t, sdk, jsCase{"abort", []string{jsKey}}, w)
			w.upstream.awaitGone(t)
			reports = append(reports, s.end(t)...)
		}
		if len(reports) != 2 {
			t.Fatalf("%d reports", len(reports))
		}
		wantAll(t, reports[0], "content_block_delta", "aborted: true")
		wantSame(t, "what the SDK says", reports[0], reports[1])
		l.wantSameRequests(t)
	})
}

func testJSCut(t *testing.T) {
	onEachJS(t, func(t *testing.T, sdk jsSDK, l lane) {
		direct, through := l.playScript(t, sdk, "cut", jsKey)
		for _, lines := range [][]string{direct, through} {
			failures := 0
			for _, line := range lines {
				if strings.HasPrefix(line, "failed:") {
					failures++
				}
			}
			if failures != 2 {
				t.Errorf("%d of two cut responses failed: %q", failures, lines)
			}
		}
	})
}
