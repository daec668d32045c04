package fakeupstream_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"oauth-proxyd/internal/fakeupstream"
)

func TestTrailersFollowTheAnswer(t *testing.T) {
	tests := []struct {
		name, body, id, tokens string
		sized                  bool
	}{
		{"a stream", `{"model":"trailers","stream":true}`, "msg_011000000000000000000001", "18", false},
		{"a message", `{"model":"trailers"}`, "msg_011000000000000000000001", "18", false},
		{"not asked for", `{"model":"long-1"}`, "", "", true},
	}
	for _, http2 := range []bool{false, true} {
		for _, tt := range tests {
			t.Run(name(http2)+" "+tt.name, func(t *testing.T) {
				s := start(t, fakeupstream.Config{HTTP2: true})
				r := request(t.Context(), t, http.MethodPost, s.URL()+"/v1/messages", strings.NewReader(tt.body))
				resp, body := do(t, client(t, s, http2), r)
				if id, tokens := resp.Trailer.Get("X-Message-Id"), resp.Trailer.Get("X-Output-Tokens"); id != tt.id || tokens != tt.tokens {
					t.Errorf("trailers %q and %q, want %q and %q", id, tokens, tt.id, tt.tokens)
				}
				if got := resp.Header.Get("Content-Length") != ""; got != tt.sized {
					t.Errorf("content-length: %t, want %t", got, tt.sized)
				}
				if !strings.Contains(body, "Hello ") {
					t.Errorf("the answer is not whole: %q", body)
				}
			})
		}
	}
}

func TestWrapStandsInFrontOfTheAPI(t *testing.T) {
	s := start(t, fakeupstream.Config{Wrap: func(api http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/mine" {
				_, _ = io.WriteString(w, "mine")
				return
			}
			w.Header().Set("X-Wrapped", "yes")
			api.ServeHTTP(w, r)
		})
	}})
	resp, body := do(t, client(t, s, false), request(t.Context(), t, http.MethodGet, s.URL()+"/mine", nil))
	if body != "mine" || resp.Header.Get("Request-Id") != "" {
		t.Errorf("the wrapper's own answer is %q with %v", body, resp.Header)
	}
	resp, body = do(t, client(t, s, false), request(t.Context(), t, http.MethodGet, s.URL()+"/api/hello", nil))
	if resp.Header.Get("X-Wrapped") != "yes" || !strings.Contains(body, "hello") {
		t.Errorf("the API's answer is %q with %v", body, resp.Header)
	}
}
