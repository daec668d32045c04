package fakeupstream_test

import (
	"bytes"
	"net/http"
	"testing"

	"oauth-proxyd/internal/fakeupstream"
)

func TestBadBodies(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"not JSON", `{"model":`, "The request body is not valid JSON"},
		{"empty", ``, "The request body is not valid JSON"},
		{"not an object", `"model"`, "The request body is not valid JSON"},
		{"null", `null`, "The request body is not valid JSON"},
		{"two objects", `{} {}`, "The request body is not valid JSON"},
		{"wrong type", `{"model":1}`, "The request body has a field of the wrong type"},
	}
	url := start(t, fakeupstream.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := message(t, url, tt.body)
			f := parseFailure(t, resp, body)
			if resp.StatusCode != 400 || f.Error.Type != "invalid_request_error" || f.Error.Message != tt.want {
				t.Errorf("%d %s, want 400 %s", resp.StatusCode, body, tt.want)
			}
		})
	}
}

func TestVersionIsRequired(t *testing.T) {
	url := start(t, fakeupstream.Config{})
	r := request(t.Context(), t, http.MethodGet, url+"/v1/models", http.NoBody)
	r.Header.Del("Anthropic-Version")
	resp, body := do(t, client(t), r)
	f := parseFailure(t, resp, body)
	if resp.StatusCode != 400 || f.Error.Type != "invalid_request_error" || f.Error.Message != "anthropic-version: header is required" {
		t.Errorf("%d %s, want 400 for the header", resp.StatusCode, body)
	}
}

// TestBodyLimit sends the largest message and one that is a byte longer.
func TestBodyLimit(t *testing.T) {
	const limit = 32 << 20
	url := start(t, fakeupstream.Config{})
	for _, extra := range []int{0, 1} {
		padding := bytes.Repeat([]byte(" "), limit-len(`{"model":"m"}`)+extra)
		r := request(t.Context(), t, http.MethodPost, url+"/v1/messages", bytes.NewReader(append([]byte(`{"model":"m"}`), padding...)))
		resp, body := do(t, client(t), r)
		if extra == 0 && resp.StatusCode != http.StatusOK {
			t.Errorf("at the limit: %d %s, want 200", resp.StatusCode, body)
		}
		if extra == 1 && (resp.StatusCode != 413 || parseFailure(t, resp, body).Error.Type != "request_too_large") {
			t.Errorf("beyond the limit: %d %s, want 413", resp.StatusCode, body)
		}
	}
}
