package fakeupstream_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"

	"oauth-proxyd/internal/fakeupstream"
)

func TestErrorCodeNeedsTheNewVersion(t *testing.T) {
	s := start(t, fakeupstream.Config{})
	tests := []struct {
		name, version, code string
		message             string
	}{
		{"the newest", "2026-10-21", "invalid_request_error", "not valid JSON"},
		{"the first", "2023-06-01", "", "not valid JSON"},
		{"none", "", "", "not valid JSON"},
		{"one that does not exist", "2025-01-01", "", "not a valid version"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t.Context(), t, http.MethodPost, s.URL()+"/v1/messages", strings.NewReader("x"))
			if tt.version != "" {
				r.Header.Set("Anthropic-Version", tt.version)
			}
			resp, body := do(t, client(t), r)
			has := strings.Contains(body, `"details":{"error_code":"`+tt.code+`"}`)
			if resp.StatusCode != 400 || has != (tt.code != "") || !strings.Contains(parseFailure(t, resp, body).Error.Message, tt.message) {
				t.Errorf("%d %s, want 400 with the code %q", resp.StatusCode, body, tt.code)
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
		{"not compressed", "identity", "{}", 200},
		{"another coding", "br", "{}", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t.Context(), t, http.MethodPost, s.URL()+"/v1/messages", strings.NewReader(tt.body))
			r.Header.Set("Content-Encoding", tt.coding)
			resp, body := do(t, client(t), r)
			if resp.StatusCode != tt.status {
				t.Errorf("%d %s, want %d", resp.StatusCode, body, tt.status)
			}
			if observed.BodyLength != int64(len(tt.body)) {
				t.Errorf("%d bytes were seen, want the %d that were sent", observed.BodyLength, len(tt.body))
			}
		})
	}
}
