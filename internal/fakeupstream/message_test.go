package fakeupstream_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"oauth-proxyd/internal/fakeupstream"
)

const (
	id        = "msg_011000000000000000000001"
	wantWhole = `{"id":"` + id + `","type":"message","role":"assistant","model":"a \"b\"",` +
		`"content":[{"type":"text","text":"Hello from the mock API! Your request arrived whole, and this response comes to you word by word."}],` +
		`"stop_reason":"end_turn","stop_sequence":null,` +
		`"usage":{"input_tokens":5,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":18,"service_tier":"standard"}}`

	wantBegin = `event: message_start
data: {"type":"message_start","message":{"id":"` + id + `","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1,"service_tier":"standard"}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type":"ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello "}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"from "}}

`
	wantEnd = `event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"word."}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":18}}

event: message_stop
data: {"type":"message_stop"}

`
)

func TestMessageShape(t *testing.T) {
	resp, body := message(t, start(t, fakeupstream.Config{}), `{"model":"a \"b\""}`)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("status %d, type %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	if body != wantWhole {
		t.Errorf("got\n%s\nwant\n%s", body, wantWhole)
	}
}

func TestStreamShape(t *testing.T) {
	resp, body := message(t, start(t, fakeupstream.Config{}), `{"model":"m","stream":true}`)
	if got, want := resp.Header.Get("Content-Type"), "text/event-stream; charset=utf-8"; got != want {
		t.Errorf("content type %q, want %q", got, want)
	}
	if !strings.HasPrefix(body, wantBegin) || !strings.HasSuffix(body, wantEnd) || strings.Count(body, "event: ") != 24 {
		t.Errorf("got\n%s\nwant 24 events with the beginning\n%s\nand the end\n%s", body, wantBegin, wantEnd)
	}
}

// TestPause: there is a pause before each event of a stream but the first, and none before a whole
// message.
func TestPause(t *testing.T) {
	for _, body := range []string{`{"stream":true}`, `{}`} {
		paused, w := 0, httptest.NewRecorder()
		api := fakeupstream.Handler(fakeupstream.Config{Pause: func(*http.Request) { paused++ }})
		api.ServeHTTP(w, request(t.Context(), t, http.MethodPost, "/v1/messages", strings.NewReader(body)))
		if want := max(0, strings.Count(w.Body.String(), "event: ")-1); w.Code != http.StatusOK || paused != want {
			t.Errorf("%s: status %d after %d pauses, want 200 after %d", body, w.Code, paused, want)
		}
	}
}

func TestSmallEndpoints(t *testing.T) {
	tests := []struct {
		name, method, path, body string
		status                   int
		want                     string // the beginning of the response
	}{
		{"with a query", "POST", "/v1/messages?beta=true", `{"model":"m"}`, 200, `{"id":"msg_`},
		{"models", "GET", "/v1/models", "", 200, `{"data":[{"created_at":"2025-09-29T00:00:00Z"`},
		{"hello", "GET", "/api/hello", "", 200, `{"message":"hello"}`},
		{"hello, headers only", "HEAD", "/api/hello", "", 200, ""},
		{"root, headers only", "HEAD", "/", "", 200, ""},
		{"root", "GET", "/", "", 404, `{"type":"error","error":{"type":"not_found_error"`},
		{"unknown path", "GET", "/v2/messages", "", 404, `{"type":"error","error":{"type":"not_found_error"`},
		{"a path below v1", "POST", "/v1/messages/count_tokens", `{}`, 404, `{"type":"error","error":{"type":"not_found_error"`},
		{"a path to be cleaned", "POST", "//v1/messages", `{}`, 404, `{"type":"error","error":{"type":"not_found_error"`},
		{"unknown below v1", "GET", "/v1/nothing", "", 404, `{"type":"error","error":{"type":"not_found_error"`},
		{"another method", "DELETE", "/v1/models", "", 404, `{"type":"error","error":{"type":"not_found_error"`},
	}
	url := start(t, fakeupstream.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t.Context(), t, tt.method, url+tt.path, strings.NewReader(tt.body))
			resp, body := do(t, client(t), r)
			if resp.StatusCode != tt.status || !strings.HasPrefix(body, tt.want) || tt.want == "" && body != "" {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, body, tt.status, tt.want)
			}
			if resp.Header.Get("Request-Id") == "" || resp.Header.Get("Date") == "" {
				t.Errorf("request-id or date is missing: %v", resp.Header)
			}
		})
	}
}
