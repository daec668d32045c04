package labapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"oauth-proxyd/internal/lab/labapi"
)

const apiKey = "sk-ant-api03-not-a-key"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) *httptest.Server {
	t.Helper()
	return startWith(t, labapi.Config{})
}

// startWith serves the API in clear, over HTTP/1.1 and HTTP/2.
func startWith(t *testing.T, c labapi.Config) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(labapi.Handler(c))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// client speaks HTTP/1.1, or HTTP/2 only.
func client(t *testing.T, http2 bool) *http.Client {
	t.Helper()
	p := new(http.Protocols)
	p.SetHTTP1(!http2)
	p.SetUnencryptedHTTP2(http2)
	transport := &http.Transport{Protocols: p, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// request makes a request that carries an API key.
func request(ctx context.Context, t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Api-Key", apiKey)
	return r
}

// message posts body to /v1/messages over HTTP/1.1.
func message(t *testing.T, s *httptest.Server, body string) (*http.Response, string) {
	t.Helper()
	return do(t, client(t, false), request(t.Context(), t, http.MethodPost, s.URL+"/v1/messages", strings.NewReader(body)))
}

// do sends a request and reads the response to its end.
func do(t *testing.T, c *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading the response: %v", err)
	}
	return resp, string(body)
}

// errorType is the type in an error body.
func errorType(t *testing.T, body string) string {
	t.Helper()
	var f struct {
		Error struct{ Type, Message string }
	}
	if err := json.Unmarshal([]byte(body), &f); err != nil || f.Error.Message == "" {
		t.Fatalf("error body %q: %v", body, err)
	}
	return f.Error.Type
}

// eventNames lists the events of a stream in order.
func eventNames(stream string) []string {
	var names []string
	for line := range strings.Lines(stream) {
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}

const wantTool = `event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_011000000000000000000001","name":"get_weather","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"note\":\""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"from the mock API\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":4}}

`

func TestToolUseInStream(t *testing.T) {
	_, body := message(t, start(t), `{"model":"long-1","stream":true,"tools":[{"name":"get_weather"}]}`)
	if !strings.Contains(body, wantTool) {
		t.Errorf("got\n%s\nwant in it\n%s", body, wantTool)
	}
}

func TestToolUse(t *testing.T) {
	const tools = `"tools":[{"name":"first"},{"name":"second"}]`
	tests := []struct{ name, body, tool string }{
		{"no tools", `{"model":"m"}`, ""},
		{"the first on its own", `{"model":"m",` + tools + `}`, "first"},
		{"the one that is asked for", `{"model":"m","tool_choice":{"type":"tool","name":"second"},` + tools + `}`, "second"},
		{"none wanted", `{"model":"m","tool_choice":{"type":"none"},` + tools + `}`, ""},
		{"after a text message", `{"model":"m","messages":[{"role":"user","content":"hi"}],` + tools + `}`, "first"},
		{"after a result", `{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result"}]}],` + tools + `}`, ""},
	}
	s := start(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, body := message(t, s, tt.body)
			used := strings.Contains(body, `"name":"`+tt.tool+`","input":{"note":"from the mock API"}`) &&
				strings.Contains(body, `"stop_reason":"tool_use"`)
			ended := strings.Contains(body, `"stop_reason":"end_turn"`) && !strings.Contains(body, "tool_use")
			if tt.tool != "" && !used || tt.tool == "" && !ended {
				t.Errorf("tool %q not as wanted in %s", tt.tool, body)
			}
		})
	}
}

func TestMoreEndpoints(t *testing.T) {
	s := start(t)
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		want                     string // the beginning of the response
	}{
		{"count tokens", "POST", "/v1/messages/count_tokens", `{"model":"m"}`, 200, `{"input_tokens":4}`},
		{"count tokens, directed", "POST", "/v1/messages/count_tokens", `{"model":"error-529"}`, 529, `{"type":"error"`},
		{"models", "GET", "/v1/models", "", 200, `{"data":[{`},
		{"one model", "GET", "/v1/models/claude-haiku-4-5-20251001", "", 200, `{"created_at":"2025-10-01T00:00:00Z","display_name":"claude-haiku`},
		{"a model that is not there", "GET", "/v1/models/gpt", "", 404, `{"type":"error","error":{"type":"not_found_error"`},
		{"no files", "GET", "/v1/files", "", 200, `{"data":[],`},
		{"a file that is not there", "GET", "/v1/files/file_1", "", 404, `{"type":"error","error":{"type":"not_found_error"`},
		{"another method", "DELETE", "/v1/models", "", 404, `{"type":"error","error":{"type":"not_found_error"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t.Context(), t, tt.method, s.URL+tt.path, strings.NewReader(tt.body))
			resp, body := do(t, client(t, false), r)
			if resp.StatusCode != tt.status || !strings.HasPrefix(body, tt.want) {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, body, tt.status, tt.want)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	s := start(t)
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	_ = parts.WriteField("purpose", "test")
	part, _ := parts.CreateFormFile("file", "notes.txt")
	_, _ = part.Write(bytes.Repeat([]byte("x"), 100_000))
	_ = parts.Close()
	r := request(t.Context(), t, http.MethodPost, s.URL+"/v1/files", &form)
	r.Header.Set("Content-Type", parts.FormDataContentType())
	resp, uploaded := do(t, client(t, false), r)
	want := `{"id":"file_011000000000000000000001","type":"file","filename":"notes.txt","mime_type":"application/octet-stream","size_bytes":100000,`
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(uploaded, want) {
		t.Fatalf("%d %s, want 200 %s", resp.StatusCode, uploaded, want)
	}
	for path, want := range map[string]string{
		"/v1/files/file_011000000000000000000001": uploaded,
		"/v1/files": `{"data":[` + uploaded + `],"first_id":"file_011`,
	} {
		_, body := do(t, client(t, false), request(t.Context(), t, http.MethodGet, s.URL+path, nil))
		if !strings.HasPrefix(body, want) {
			t.Errorf("%s: got %s, want %s", path, body, want)
		}
	}
}

func TestBadUploads(t *testing.T) {
	tests := []struct{ name, contentType, body string }{
		{"no form", "application/json", `{}`},
		{"no file", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--b--\r\n"},
		{"cut short", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n1"},
	}
	s := start(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t.Context(), t, http.MethodPost, s.URL+"/v1/files", strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.contentType)
			resp, body := do(t, client(t, false), r)
			if resp.StatusCode != 400 || errorType(t, body) != "invalid_request_error" {
				t.Errorf("%d %s, want 400", resp.StatusCode, body)
			}
		})
	}
}
