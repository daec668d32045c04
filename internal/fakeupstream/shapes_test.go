package fakeupstream_test

import (
	"net/http"
	"strings"
	"testing"

	"oauth-proxyd/internal/fakeupstream"
)

const (
	wantWhole = `{"id":"msg_011000000000000000000001","type":"message","role":"assistant","model":"long-2",` +
		`"content":[{"type":"text","text":"Hello from "}],"stop_reason":"end_turn","stop_sequence":null,` +
		`"usage":{"input_tokens":5,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":2,"service_tier":"standard"}}`

	wantStream = `event: message_start
data: {"type":"message_start","message":{"id":"msg_011000000000000000000001","type":"message","role":"assistant","model":"long-2","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1,"service_tier":"standard"}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type":"ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello "}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"from "}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}

event: message_stop
data: {"type":"message_stop"}

`

	wantTool = `event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_011000000000000000000001","name":"get_weather","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"note\":\""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"from the loopback upstream\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":1}}

`
)

func TestMessageShape(t *testing.T) {
	resp, body := message(t, start(t, fakeupstream.Config{}), `{"model":"long-2"}`)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("status %d, type %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	if body != wantWhole {
		t.Errorf("got\n%s\nwant\n%s", body, wantWhole)
	}
}

func TestStreamShape(t *testing.T) {
	resp, body := message(t, start(t, fakeupstream.Config{}), `{"model":"long-2","stream":true}`)
	if got, want := resp.Header.Get("Content-Type"), "text/event-stream; charset=utf-8"; got != want {
		t.Errorf("content type %q, want %q", got, want)
	}
	if body != wantStream {
		t.Errorf("got\n%s\nwant\n%s", body, wantStream)
	}
}

func TestToolUseInStream(t *testing.T) {
	_, body := message(t, start(t, fakeupstream.Config{}), `{"model":"long-1","stream":true,"tools":[{"name":"get_weather"}]}`)
	if !strings.Contains(body, wantTool) {
		t.Errorf("got\n%s\nwant in it\n%s", body, wantTool)
	}
}

func TestToolUse(t *testing.T) {
	const tools = `"tools":[{"name":"first"},{"name":"second"}]`
	tests := []struct{ name, body, tool string }{
		{"no tools", `{"model":"m"}`, ""},
		{"the first by itself", `{"model":"m",` + tools + `}`, "first"},
		{"the one that is asked for", `{"model":"m","tool_choice":{"type":"tool","name":"second"},` + tools + `}`, "second"},
		{"none wanted", `{"model":"m","tool_choice":{"type":"none"},` + tools + `}`, ""},
		{"after a text message", `{"model":"m","messages":[{"role":"user","content":"hi"}],` + tools + `}`, "first"},
		{"after a result", `{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result"}]}],` + tools + `}`, ""},
	}
	s := start(t, fakeupstream.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, body := message(t, s, tt.body)
			used := strings.Contains(body, `"name":"`+tt.tool+`","input":{"note":"from the loopback upstream"}`) &&
				strings.Contains(body, `"stop_reason":"tool_use"`)
			ended := strings.Contains(body, `"stop_reason":"end_turn"`) && !strings.Contains(body, "tool_use")
			if tt.tool != "" && !used || tt.tool == "" && !ended {
				t.Errorf("tool %q not as wanted in %s", tt.tool, body)
			}
		})
	}
}

func TestSmallEndpoints(t *testing.T) {
	tests := []struct {
		name, method, path, body string
		status                   int
		want                     string // the beginning of the answer
	}{
		{"count tokens", "POST", "/v1/messages/count_tokens", `{"model":"m"}`, 200, `{"input_tokens":4}`},
		{"count tokens, directed", "POST", "/v1/messages/count_tokens", `{"model":"error-529"}`, 529, `{"type":"error"`},
		{"with a query", "POST", "/v1/messages?beta=true", `{"model":"m"}`, 200, `{"id":"msg_`},
		{"models", "GET", "/v1/models", "", 200, `{"data":[{"type":"model","id":"claude-`},
		{"one model", "GET", "/v1/models/claude-haiku-4-5-20251001", "", 200, `{"type":"model","id":"claude-haiku-4-5-20251001"`},
		{"a model that is not", "GET", "/v1/models/gpt", "", 404, `{"type":"error","error":{"type":"not_found_error"`},
		{"no files", "GET", "/v1/files", "", 200, `{"data":[],`},
		{"a file that is not", "GET", "/v1/files/file_1", "", 404, `{"type":"error","error":{"type":"not_found_error"`},
		{"hello", "GET", "/api/hello", "", 200, `{"message":"hello"}`},
		{"hello, headers only", "HEAD", "/api/hello", "", 200, ""},
		{"root, headers only", "HEAD", "/", "", 200, ""},
		{"root", "GET", "/", "", 404, `{"type":"error","error":{"type":"not_found_error"`},
		{"unknown path", "GET", "/v2/messages", "", 404, `{"type":"error","error":{"type":"not_found_error"`},
		{"a path to be cleaned", "POST", "//v1/messages", `{}`, 404, `{"type":"error","error":{"type":"not_found_error"`},
		{"unknown below v1", "GET", "/v1/nothing", "", 404, `{"type":"error","error":{"type":"not_found_error"`},
		{"another method", "DELETE", "/v1/models", "", 404, `{"type":"error","error":{"type":"not_found_error"`},
	}
	s := start(t, fakeupstream.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t.Context(), t, tt.method, s.URL()+tt.path, strings.NewReader(tt.body))
			resp, body := do(t, client(t, s, false), r)
			if resp.StatusCode != tt.status || !strings.HasPrefix(body, tt.want) || tt.want == "" && body != "" {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, body, tt.status, tt.want)
			}
			if resp.Header.Get("Request-Id") == "" || resp.Header.Get("Date") == "" {
				t.Errorf("request-id or date is missing: %v", resp.Header)
			}
		})
	}
}
