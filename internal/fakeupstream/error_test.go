package fakeupstream_test

import (
	"net/http"
	"strings"
	"testing"

	"oauth-proxyd/internal/fakeupstream"
)

func TestErrorCodeNeedsTheNewVersion(t *testing.T) {
	url := start(t, fakeupstream.Config{})
	tests := []struct {
		name, version, code string
		message             string
	}{
		{"the newest", "2026-10-21", "invalid_request_error", "not valid JSON"},
		{"the first", "2023-06-01", "", "not valid JSON"},
		{"none", "", "", "not valid JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t.Context(), t, http.MethodPost, url+"/v1/messages", strings.NewReader("x"))
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
