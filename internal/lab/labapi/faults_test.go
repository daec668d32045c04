package labapi_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oauth-proxyd/internal/lab/labapi"
)

func TestErrorModels(t *testing.T) {
	tests := []struct {
		model  string
		status int
		kind   string
		retry  string
	}{
		{"error-400", 400, "invalid_request_error", ""},
		{"error-401", 401, "authentication_error", ""},
		{"error-403", 403, "permission_error", ""},
		{"error-404", 404, "not_found_error", ""},
		{"error-413", 413, "request_too_large", ""},
		{"error-429", 429, "rate_limit_error", "7"},
		{"error-500", 500, "api_error", ""},
		{"error-529", 529, "overloaded_error", ""},
	}
	s := start(t)
	for _, tt := range tests {
		t.Run(tt.model, func(t *testing.T) {
			resp, body := message(t, s, `{"stream":true,"model":"`+tt.model+`"}`)
			if resp.StatusCode != tt.status || errorType(t, body) != tt.kind {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, body, tt.status, tt.kind)
			}
			if got := resp.Header.Get("Retry-After"); got != tt.retry {
				t.Errorf("retry-after %q, want %q", got, tt.retry)
			}
			if got := resp.Header.Get("X-Should-Retry") == "true"; got != (tt.status == 429 || tt.status >= 500) {
				t.Errorf("should retry: %t", got)
			}
		})
	}
}

func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, w := time.Now(), httptest.NewRecorder()
		r := request(t.Context(), t, http.MethodPost, "/v1/messages", strings.NewReader(`{"model":"slow-3","stream":true}`))
		labapi.Handler(labapi.Config{}).ServeHTTP(w, r)
		if got := time.Since(began); got != 8*200*time.Millisecond || len(eventNames(w.Body.String())) != 9 {
			t.Errorf("%v for %s", got, w.Body)
		}
	})
}

func TestLong(t *testing.T) {
	_, body := message(t, start(t), `{"model":"long-1000","stream":true}`)
	if got := strings.Count(body, "event: content_block_delta\n"); got != 1000 {
		t.Errorf("%d deltas, want 1000", got)
	}
}

func TestUnknownDirectionsAreOrdinary(t *testing.T) {
	s := start(t)
	for _, model := range []string{"", "error-418", "long-", "long-x", "long--1", "long-0", "slowly"} {
		resp, body := message(t, s, `{"model":"`+model+`"}`)
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, "word by word.") {
			t.Errorf("%q: %d %s, want the ordinary message", model, resp.StatusCode, body)
		}
	}
}

func TestErrorMidStream(t *testing.T) {
	s := start(t)
	_, body := message(t, s, `{"model":"error-mid-stream","stream":true}`)
	want := []string{"message_start", "content_block_start", "ping", "content_block_delta", "content_block_delta", "error"}
	if got := eventNames(body); !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
	if !strings.Contains(body, `data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}`) {
		t.Errorf("no overloaded_error in %s", body)
	}
	if resp, _ := message(t, s, `{"model":"error-mid-stream"}`); resp.StatusCode != 529 {
		t.Errorf("status %d without a stream, want 529", resp.StatusCode)
	}
}

func TestCut(t *testing.T) {
	s := start(t)
	for _, http2 := range []bool{false, true} {
		for _, stream := range []string{"true", "false"} {
			t.Run(name(http2)+" stream "+stream, func(t *testing.T) {
				body := strings.NewReader(`{"model":"cut-mid-stream","stream":` + stream + `}`)
				resp, err := client(t, http2).Do(request(t.Context(), t, http.MethodPost, s.URL+"/v1/messages", body))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if err == nil {
					t.Errorf("a clean end after %q", got)
				}
				if deltas := strings.Count(string(got), "event: content_block_delta\n"); stream == "true" && deltas != 2 || len(got) == 0 {
					t.Errorf("%d deltas before the cut, want 2, in %q", deltas, got)
				}
			})
		}
	}
}

func TestStallLastsUntilTheClientLeaves(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(name(http2), func(t *testing.T) {
			s := start(t)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			r := request(ctx, t, http.MethodPost, s.URL+"/v1/messages", strings.NewReader(`{"model":"stall","stream":true}`))
			resp, err := client(t, http2).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			deltas := 0
			for lines := bufio.NewScanner(resp.Body); deltas < 2 && lines.Scan(); {
				if lines.Text() == "event: content_block_delta" {
					deltas++
				}
			}
			leave()
			if _, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, context.Canceled) {
				t.Errorf("after %d deltas the stream ended with %v, want only our own leaving", deltas, err)
			}
		})
	}
}

func TestGzip(t *testing.T) {
	tests := []struct {
		name, accept, body string
		zipped             bool
	}{
		{"a stream", "br, gzip", `{"model":"gzip","stream":true}`, true},
		{"a message", "gzip;q=0.5", `{"model":"gzip"}`, true},
		{"not wanted", "gzip;q=0", `{"model":"gzip"}`, false},
		{"not named", "br", `{"model":"gzip"}`, false},
		{"not directed", "gzip", `{"model":"m"}`, false},
	}
	s := start(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t.Context(), t, http.MethodPost, s.URL+"/v1/messages", strings.NewReader(tt.body))
			r.Header.Set("Accept-Encoding", tt.accept)
			resp, body := do(t, client(t, false), r)
			if got := resp.Header.Get("Content-Encoding") == "gzip"; got != tt.zipped {
				t.Fatalf("compressed: %t, want %t", got, tt.zipped)
			}
			if tt.zipped {
				body = unzip(t, body)
			}
			if !strings.Contains(body, "Hello ") || !strings.HasSuffix(strings.TrimSpace(body), "}") {
				t.Errorf("the response is not whole: %q", body)
			}
		})
	}
}

func unzip(t *testing.T, data string) string {
	t.Helper()
	zip, err := gzip.NewReader(strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

func name(http2 bool) string {
	if http2 {
		return "h2c"
	}
	return "h1"
}
