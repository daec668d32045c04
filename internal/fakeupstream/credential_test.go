package fakeupstream_test

import (
	"net/http"
	"strings"
	"testing"

	"oauth-proxyd/internal/fakeupstream"
)

func TestCredentials(t *testing.T) {
	tests := []struct {
		name   string
		header http.Header
		strict int // with RequireOAuthBeta
		lax    int
	}{
		{"none", http.Header{}, 401, 401},
		{"key", http.Header{"X-Api-Key": {apiKey}}, 200, 200},
		{"key as a bearer", http.Header{"Authorization": {"Bearer " + apiKey}}, 200, 200},
		{"other bearer", http.Header{"Authorization": {"Bearer x"}}, 200, 200},
		{"basic", http.Header{"Authorization": {"Basic eDp5"}}, 401, 401},
		{"subscription without the beta", http.Header{"Authorization": {"Bearer " + oauth}}, 401, 200},
		{"subscription with other betas", http.Header{"Authorization": {"Bearer " + oauth}, "Anthropic-Beta": {"a,oauth-2025-04-201"}}, 401, 200},
		{"subscription with the beta", http.Header{"Authorization": {"Bearer " + oauth}, "Anthropic-Beta": {"oauth-2025-04-20"}}, 200, 200},
		{"the beta in a list", http.Header{"Authorization": {"Bearer " + oauth}, "Anthropic-Beta": {"a, oauth-2025-04-20 ,b"}}, 200, 200},
		{"the beta on another line", http.Header{"Authorization": {"Bearer " + oauth}, "Anthropic-Beta": {"a", "oauth-2025-04-20"}}, 200, 200},
	}
	for _, strict := range []bool{false, true} {
		url := start(t, fakeupstream.Config{RequireOAuthBeta: strict})
		for _, tt := range tests {
			want := tt.lax
			if strict {
				want = tt.strict
			}
			for _, path := range []string{"/v1/messages", "/v1/models"} {
				method := http.MethodPost
				if path == "/v1/models" {
					method = http.MethodGet
				}
				r := request(t.Context(), t, method, url+path, strings.NewReader(`{}`))
				r.Header = tt.header.Clone()
				r.Header.Set("Anthropic-Version", "2023-06-01")
				resp, body := do(t, client(t), r)
				if resp.StatusCode != want {
					t.Errorf("%s, strict: %t, %s: %d, want %d", tt.name, strict, path, resp.StatusCode, want)
				}
				if want == 401 && parseFailure(t, resp, body).Error.Type != "authentication_error" {
					t.Errorf("%s: %s, want an authentication_error", tt.name, body)
				}
			}
		}
	}
}

func TestContextManagementNeedsItsBeta(t *testing.T) {
	url := start(t, fakeupstream.Config{})
	const refused = "context_management: Extra inputs are not permitted"
	tests := []struct {
		name, body, beta string
		status           int
	}{
		{"kept", `{"context_management":{}}`, "x,context-management-2025-06-27,oauth-2025-04-20", 200},
		{"lost", `{"context_management":{}}`, "oauth-2025-04-20", 400},
		{"not used", `{}`, "oauth-2025-04-20", 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t.Context(), t, http.MethodPost, url+"/v1/messages", strings.NewReader(tt.body))
			r.Header.Set("Anthropic-Beta", tt.beta)
			resp, body := do(t, client(t), r)
			if resp.StatusCode != tt.status || strings.Contains(body, refused) != (tt.status == 400) {
				t.Errorf("%d %s, want %d", resp.StatusCode, body, tt.status)
			}
		})
	}
}
