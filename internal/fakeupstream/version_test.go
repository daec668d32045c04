package fakeupstream_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"oauth-proxyd/internal/fakeupstream"
)

func TestErrorsHaveACodeSinceTheirVersion(t *testing.T) {
	s := start(t, fakeupstream.Config{})
	tests := []struct {
		name, version, model string
		status               int
		code                 string
	}{
		{"today's", "2026-10-21", "error-429", 429, "rate_limit_error"},
		{"today's, with a code of its own", "2026-10-21", "error-403", 403, "model_access_denied"},
		{"the first", "2023-06-01", "error-429", 429, ""},
		{"none", "", "error-429", 429, ""},
		{"one that does not exist", "2025-01-01", "long-1", 400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t.Context(), t, http.MethodPost, s.URL()+"/v1/messages", strings.NewReader(`{"model":"`+tt.model+`"}`))
			r.Header.Set("X-Api-Key", apiKey)
			if tt.version != "" {
				r.Header.Set("Anthropic-Version", tt.version)
			}
			resp, body := do(t, client(t, s, false), r)
			var got struct {
				Error struct {
					Details *struct {
						ErrorCode string `json:"error_code"`
					} `json:"details"`
				} `json:"error"`
			}
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			code := ""
			if d := got.Error.Details; d != nil {
				code = d.ErrorCode
			}
			if resp.StatusCode != tt.status || code != tt.code {
				t.Errorf("%d with code %q, want %d with %q", resp.StatusCode, code, tt.status, tt.code)
			}
		})
	}
}

func TestCompressedRequests(t *testing.T) {
	var observed fakeupstream.Request
	s := start(t, fakeupstream.Config{Observe: func(r fakeupstream.Request) { observed = r }})
	packed := func(text string) string {
		var out bytes.Buffer
		zip := gzip.NewWriter(&out)
		_, _ = zip.Write([]byte(text))
		_ = zip.Close()
		return out.String()
	}
	message := packed(`{"model":"` + strings.Repeat("m", 10_000) + `"}`)
	tests := []struct {
		name, coding, body string
		status             int
	}{
		{"gzip", "gzip", message, 200},
		{"not in gzip format", "gzip", "{}", 400},
		{"broken off", "gzip", message[:len(message)-10], 400},
		{"larger than the API takes", "gzip", packed(strings.Repeat(" ", 32<<20) + "{}"), 413},
		{"not compressed", "identity", "{}", 200},
		{"another coding", "br", "{}", 415},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t.Context(), t, http.MethodPost, s.URL()+"/v1/messages", strings.NewReader(tt.body))
			r.Header.Set("X-Api-Key", apiKey)
			r.Header.Set("Content-Encoding", tt.coding)
			resp, body := do(t, client(t, s, false), r)
			if resp.StatusCode != tt.status {
				t.Errorf("%d %s, want %d", resp.StatusCode, body, tt.status)
			}
			if observed.BodyLength != int64(len(tt.body)) {
				t.Errorf("%d bytes were seen, want the %d that were sent", observed.BodyLength, len(tt.body))
			}
		})
	}
}
