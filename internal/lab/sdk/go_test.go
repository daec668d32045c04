package sdk_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// withKey is the credential of most cases.
func withKey() goCredential { return goCredential{key: daemontest.APIKey} }

// goPlay is a case, and how the application has set up the SDK for it.
type goPlay struct {
	play    goCase
	retries int
	betas   string
	zipped  bool // the application compresses its requests
	fault   fault
}

// play runs a case on one way, with the SDK as an application makes it, but for a note of each
// response.
func (w way) play(t *testing.T, sdk goSDK, p goPlay, credential goCredential) *report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), daemontest.Patience)
	defer cancel()
	r := &report{base: w.base}
	c := sdk.connect(goSettings{
		base: w.base, http: w.http, credential: credential, retries: p.retries, betas: p.betas,
		middleware: func(req *http.Request, next goNext) (*http.Response, error) {
			if p.zipped {
				zip(t, req)
			}
			p.fault.do(t, req)
			resp, err := next(req)
			if err == nil {
				r.response(resp)
			}
			return resp, err
		},
	})
	p.play(ctx, c, r)
	return r
}

// zip compresses the body of a request.
func zip(t *testing.T, req *http.Request) {
	t.Helper()
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, err := io.Copy(w, req.Body)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	req.Body = io.NopCloser(&zipped)
	req.ContentLength = int64(zipped.Len())
	req.Header.Set("Content-Encoding", "gzip")
}

// onEachGo runs a test with each major of the SDK for both kinds of API.
func onEachGo(t *testing.T, test func(*testing.T, goSDK, lane)) {
	t.Helper()
	for _, sdk := range goSDKs() {
		t.Run(sdk.name, func(t *testing.T) {
			onEachLane(t, func(t *testing.T, l lane) { test(t, sdk, l) })
		})
	}
}

func TestGoSaysTheSameThroughTheDaemon(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		play  goPlay
		wants []string
	}{
		{"message", goPlay{play: message(anyModel)}, []string{"response 200", "Hello from the mock API!", "Anthropic-Ratelimit-Requests-Remaining", "Request-Id"}},
		{"compressed message", goPlay{play: message("gzip")}, []string{"unzipped: true", "Hello from the mock API!"}},
		{"compressed request", goPlay{play: message(anyModel), zipped: true}, []string{"response 200", "Hello from the mock API!"}},
		{"stream", goPlay{play: stream(anyModel)}, []string{`event {"type":"message_start"`, `event {"type":"message_stop"`, "word by word.", `"end_turn"`}},
		{"compressed stream", goPlay{play: stream("gzip")}, []string{"unzipped: true", "word by word."}},
		{"long stream", goPlay{play: stream("long-3000")}, []string{"after 3000 tokens"}},
		{"tool use", goPlay{play: useTool}, []string{`tool "take_note" input {"note":"from the mock API"}`, "input_json_delta", `stopped by "tool_use"`, `stopped by "end_turn"`}},
		{"error in a stream", goPlay{play: stream("error-mid-stream")}, []string{"response 200", "content_block_delta", "failed: ", "overloaded_error"}},
		{"error instead of a stream", goPlay{play: stream("error-429")}, []string{"response 429", `Retry-After: ["7"]`, "rate_limit_error"}},
		{"retry", goPlay{play: message("error-529"), retries: 1}, []string{"response 529", `Request-Id: ["req_011000000000000000000002"]`}},
		{"count of tokens", goPlay{play: countTokens}, []string{`count {"input_tokens":`}},
		{"models", goPlay{play: lookUpModels}, []string{"listed ", "got ", "not_found_error"}},
		{"file", goPlay{play: uploadFile}, []string{`uploaded {"id":"file_`, `"size_bytes":3145720`, "application/x-note", "looked up ", "listed "}},
	} {
		t.Run(row.name, func(t *testing.T) {
			onEachGo(t, func(t *testing.T, sdk goSDK, l lane) {
				direct := l.direct.play(t, sdk, row.play, withKey())
				through := l.through.play(t, sdk, row.play, withKey())
				wantAll(t, direct.lines, row.wants...)
				wantSame(t, "what the SDK says", direct.lines, through.lines)
				l.wantSameRequests(t, sdk.signature...)
			})
		})
	}
}

func TestGoSeesTheAPIsErrorsAsTheyAre(t *testing.T) {
	t.Parallel()
	onEachGo(t, func(t *testing.T, sdk goSDK, l lane) {
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
			p := goPlay{play: message(fmt.Sprintf("error-%d", row.status))}
			direct := l.direct.play(t, sdk, p, withKey())
			through := l.through.play(t, sdk, p, withKey())
			wants := append(row.wants, fmt.Sprintf("status %d", row.status), row.kind, "Request-Id: ", "Anthropic-Ratelimit-Tokens-Reset: ", "Anthropic-Organization-Id: ")
			wantAll(t, direct.lines, wants...)
			wantSame(t, row.kind, direct.lines, through.lines)
		}
		l.wantSameRequests(t)
	})
}

func TestGoCredentialsPassUntouched(t *testing.T) {
	t.Parallel()
	for name, credential := range map[string]goCredential{
		"key":             withKey(),
		"key as a bearer": {token: daemontest.APIKey},
		"other bearer":    {token: "of-a-gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			onEachGo(t, func(t *testing.T, sdk goSDK, l lane) {
				p := goPlay{play: message(anyModel)}
				direct := l.direct.play(t, sdk, p, credential)
				through := l.through.play(t, sdk, p, credential)
				wantAll(t, direct.lines, "response 200")
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
	subscription := goCredential{token: daemontest.OAuthToken}
	for _, row := range []struct {
		name  string
		play  goPlay
		wants string
		betas []string
	}{
		{"message", goPlay{play: message(anyModel)}, "Hello from the mock API!", []string{beta}},
		{"stream", goPlay{play: stream(anyModel)}, `stopped by "end_turn"`, []string{beta}},
		{"its own beta", goPlay{play: message(anyModel), betas: "a-2025-01-01,b-2025-02-02"}, "response 200", []string{"a-2025-01-01,b-2025-02-02," + beta}},
		{"count of tokens", goPlay{play: countTokens}, "count ", []string{beta}},
		{"file", goPlay{play: uploadFile}, "uploaded ", []string{"files-api-2025-04-14," + beta, beta, beta}},
		{"models", goPlay{play: lookUpModels}, "listed ", []string{beta, beta, beta}},
	} {
		t.Run(row.name, func(t *testing.T) {
			onEachGo(t, func(t *testing.T, sdk goSDK, l lane) {
				direct := l.direct.play(t, sdk, row.play, subscription)
				wantAll(t, direct.lines, "status 401", "OAuth authentication is currently not supported.")
				through := l.through.play(t, sdk, row.play, subscription)
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
	onEachGo(t, func(t *testing.T, sdk goSDK, l lane) {
		direct := l.direct.play(t, sdk, goPlay{play: abort(t, l.direct.upstream)}, withKey())
		through := l.through.play(t, sdk, goPlay{play: abort(t, l.through.upstream)}, withKey())
		wantAll(t, direct.lines, "content_block_delta", "context canceled: true")
		wantSame(t, "what the SDK says", direct.lines, through.lines)
		l.wantSameRequests(t)
	})
}

// abort leaves after the second delta of a response that never ends: both came while it was
// unfinished.
func abort(t *testing.T, u *upstream) goCase {
	return func(ctx context.Context, c goClient, r *report) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		deltas := 0
		_, err := c.talk("stall", false).next(ctx, func(kind, raw string) {
			r.add("event %s", raw)
			if kind != "content_block_delta" {
				return
			}
			if deltas++; deltas == 2 {
				cancel()
				u.awaitGone(t)
			}
		})
		r.add("context canceled: %t", errors.Is(err, context.Canceled))
	}
}

func TestGoNeverTakesACutResponseForAWholeOne(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]goCase{
		"message": message("cut-mid-stream"),
		"stream":  stream("cut-mid-stream"),
	} {
		t.Run(name, func(t *testing.T) {
			onEachGo(t, func(t *testing.T, sdk goSDK, l lane) {
				for _, w := range []way{l.direct, l.through} {
					wantAll(t, w.play(t, sdk, goPlay{play: play}, withKey()).lines, "response 200", "failed: ")
				}
			})
		})
	}
}

func TestEveryResponseHasARequestID(t *testing.T) {
	t.Parallel()
	onEachGo(t, func(t *testing.T, sdk goSDK, l lane) {
		for _, model := range []string{anyModel, "error-429"} {
			r := l.through.play(t, sdk, goPlay{play: message(model)}, withKey())
			if len(r.ids) != 1 || !strings.HasPrefix(r.ids[0], "req_") {
				t.Errorf("x-request-id %q", r.ids)
			}
		}
	})
}
