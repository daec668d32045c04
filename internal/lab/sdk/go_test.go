package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"oauth-proxyd/internal/daemontest"
)

// goCase uses the SDK and notes what it got.
type goCase func(context.Context, anthropic.Client, *report)

// play runs a case on one way. The SDK tries once, unless told otherwise.
func (w way) play(t *testing.T, c goCase, credential option.RequestOption) *report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), daemontest.Patience)
	defer cancel()
	r := &report{base: w.base}
	c(ctx, w.client(r, credential), r)
	return r
}

// client is the SDK as an application makes it, but for a note of each answer.
func (w way) client(r *report, credential option.RequestOption) anthropic.Client {
	return anthropic.NewClient(
		option.WithoutEnvironmentDefaults(),
		option.WithBaseURL(w.base),
		option.WithHTTPClient(w.http),
		option.WithMaxRetries(0),
		option.WithMiddleware(func(req *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			resp, err := next(req)
			if err == nil {
				r.answer(resp)
			}
			return resp, err
		}),
		credential,
	)
}

func TestGoSaysTheSameThroughTheDaemon(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		play  goCase
		wants []string
	}{
		{"message", message("claude-sonnet-4-5"), []string{"answer 200", "Hello from the loopback upstream!", "Anthropic-Ratelimit-Requests-Remaining", "Request-Id"}},
		{"compressed message", message("gzip"), []string{"unzipped: true", "Hello from the loopback upstream!"}},
		{"stream", stream(ask("claude-sonnet-4-5")), []string{`event {"type":"message_start"`, `event {"type":"message_stop"`, "word by word.", `"end_turn"`}},
		{"compressed stream", stream(ask("gzip")), []string{"unzipped: true", "word by word."}},
		{"long stream", stream(ask("long-3000")), []string{"after 3000 tokens"}},
		{"tool use", useTool, []string{`tool "take_note" input {"note":"from the loopback upstream"}`, "input_json_delta", `stopped by "tool_use"`, `stopped by "end_turn"`}},
		{"error in a stream", stream(ask("error-mid-stream")), []string{"answer 200", "content_block_delta", "failed: ", "overloaded_error"}},
		{"error instead of a stream", stream(ask("error-429")), []string{"answer 429", `Retry-After: ["7"]`, "rate_limit_error"}},
		{"tried again", message("error-529", option.WithMaxRetries(1)), []string{"answer 529", `Request-Id: ["req_011000000000000000000002"]`}},
		{"count of tokens", countTokens, []string{`count {"input_tokens":`}},
		{"models", lookUpModels, []string{"listed ", "got ", "not_found_error"}},
		{"file", uploadFile, []string{`uploaded {"id":"file_`, `"size_bytes":3145720`, "application/x-note", "looked up ", "listed "}},
	} {
		t.Run(row.name, func(t *testing.T) {
			onEachLane(t, func(t *testing.T, l lane) {
				direct := l.direct.play(t, row.play, option.WithAPIKey(daemontest.APIKey))
				through := l.through.play(t, row.play, option.WithAPIKey(daemontest.APIKey))
				wantAll(t, direct.lines, row.wants...)
				wantSame(t, "what the SDK says", direct.lines, through.lines)
				l.wantSameRequests(t)
			})
		})
	}
}

func TestGoSeesTheAPIsErrorsAsTheyAre(t *testing.T) {
	t.Parallel()
	onEachLane(t, func(t *testing.T, l lane) {
		for _, row := range []struct {
			status int
			kind   string
			wants  []string
		}{
			{400, "invalid_request_error", nil},
			{401, "authentication_error", nil},
			{403, "permission_error", nil},
			{404, "not_found_error", nil},
			{413, "request_too_large", nil},
			{429, "rate_limit_error", []string{`Retry-After: ["7"]`, `X-Should-Retry: ["true"]`}},
			{500, "api_error", []string{`X-Should-Retry: ["true"]`}},
			{529, "overloaded_error", []string{`X-Should-Retry: ["true"]`}},
		} {
			play := message(fmt.Sprintf("error-%d", row.status))
			direct := l.direct.play(t, play, option.WithAPIKey(daemontest.APIKey))
			through := l.through.play(t, play, option.WithAPIKey(daemontest.APIKey))
			wants := append(row.wants, fmt.Sprintf("status %d", row.status), row.kind, "Request-Id: ", "Anthropic-Ratelimit-Tokens-Reset: ", "Anthropic-Organization-Id: ")
			wantAll(t, direct.lines, wants...)
			wantSame(t, row.kind, direct.lines, through.lines)
		}
		l.wantSameRequests(t)
	})
}

func TestGoCredentialsPassUntouched(t *testing.T) {
	t.Parallel()
	for name, credential := range map[string]option.RequestOption{
		"key":             option.WithAPIKey(daemontest.APIKey),
		"key as a bearer": option.WithAuthToken(daemontest.APIKey),
		"other bearer":    option.WithAuthToken("of-a-gateway"),
	} {
		t.Run(name, func(t *testing.T) {
			onEachLane(t, func(t *testing.T, l lane) {
				direct := l.direct.play(t, message("claude-sonnet-4-5"), credential)
				through := l.through.play(t, message("claude-sonnet-4-5"), credential)
				wantAll(t, direct.lines, "answer 200")
				wantSame(t, "what the SDK says", direct.lines, through.lines)
				l.wantSameRequests(t)
			})
		})
	}
}

// TestGoSubscriptionWorksThroughTheDaemonOnly is what the program is for.
func TestGoSubscriptionWorksThroughTheDaemonOnly(t *testing.T) {
	t.Parallel()
	const beta = "oauth-2025-04-20"
	for _, row := range []struct {
		name  string
		play  goCase
		wants string
		betas []string
	}{
		{"message", message("claude-sonnet-4-5"), "Hello from the loopback upstream!", []string{beta}},
		{"stream", stream(ask("claude-sonnet-4-5")), `stopped by "end_turn"`, []string{beta}},
		{"beta of its own", message("claude-sonnet-4-5", option.WithHeader("anthropic-beta", "a-2025-01-01,b-2025-02-02")), "answer 200", []string{"a-2025-01-01,b-2025-02-02," + beta}},
		{"count of tokens", countTokens, "count ", []string{beta}},
		{"file", uploadFile, "uploaded ", []string{"files-api-2025-04-14," + beta, beta, beta}},
		{"models", lookUpModels, "listed ", []string{beta, beta, beta}},
	} {
		t.Run(row.name, func(t *testing.T) {
			onEachLane(t, func(t *testing.T, l lane) {
				direct := l.direct.play(t, row.play, option.WithAuthToken(daemontest.OAuthToken))
				wantAll(t, direct.lines, "status 401", "OAuth authentication is currently not supported.")
				through := l.through.play(t, row.play, option.WithAuthToken(daemontest.OAuthToken))
				wantAll(t, through.lines, row.wants, `Anthropic-Ratelimit-Unified-Status: ["allowed"]`)
				if got := l.through.upstream.betas(); !slices.Equal(got, row.betas) {
					t.Errorf("the API saw the betas %q, want %q", got, row.betas)
				}
			})
		})
	}
}

func TestGoAbortReachesTheAPI(t *testing.T) {
	t.Parallel()
	onEachLane(t, func(t *testing.T, l lane) {
		direct := l.direct.play(t, abort(t, l.direct.upstream), option.WithAPIKey(daemontest.APIKey))
		through := l.through.play(t, abort(t, l.through.upstream), option.WithAPIKey(daemontest.APIKey))
		wantAll(t, direct.lines, "content_block_delta", "context canceled: true")
		wantSame(t, "what the SDK says", direct.lines, through.lines)
		l.wantSameRequests(t)
	})
}

// abort leaves after the second delta of an answer that never ends: these two
// came while it was unfinished.
func abort(t *testing.T, u *upstream) goCase {
	return func(ctx context.Context, c anthropic.Client, r *report) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		events := c.Messages.NewStreaming(ctx, ask("stall"))
		defer events.Close()
		for deltas := 0; deltas < 2 && events.Next(); {
			r.add("event %s", events.Current().RawJSON())
			if events.Current().Type == "content_block_delta" {
				deltas++
			}
		}
		cancel()
		u.awaitGone(t)
		r.add("another event: %t, context canceled: %t", events.Next(), errors.Is(events.Err(), context.Canceled))
	}
}

func TestGoNeverTakesACutAnswerForAWhole(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]goCase{
		"message": message("cut-mid-stream"),
		"stream":  stream(ask("cut-mid-stream")),
	} {
		t.Run(name, func(t *testing.T) {
			onEachLane(t, func(t *testing.T, l lane) {
				for _, w := range []way{l.direct, l.through} {
					wantAll(t, w.play(t, play, option.WithAPIKey(daemontest.APIKey)).lines, "answer 200", "failed: ")
				}
			})
		})
	}
}

func TestEveryAnswerHasARequestID(t *testing.T) {
	t.Parallel()
	onEachLane(t, func(t *testing.T, l lane) {
		for _, model := range []string{"claude-sonnet-4-5", "error-429"} {
			var resp *http.Response
			l.through.play(t, message(model, option.WithResponseInto(&resp)), option.WithAPIKey(daemontest.APIKey))
			if resp == nil {
				t.Fatal("no answer")
			}
			if ids := resp.Header.Values("X-Request-Id"); len(ids) != 1 || !strings.HasPrefix(ids[0], "req_") {
				t.Errorf("x-request-id %q", ids)
			}
		}
	})
}
