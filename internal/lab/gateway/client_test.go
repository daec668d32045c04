package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// client is a person who is signed in to the gateway.
type client struct {
	base  string // of the gateway
	token string // the session
	http  *http.Client
}

// newHTTPClient leaves no connection behind.
func newHTTPClient(t *testing.T) *http.Client {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// clientBetas is the anthropic-beta of the client's requests.
const clientBetas = "context-management-2025-06-27,fine-grained-tool-streaming-2025-05-14"

// message is the body of a request for a message, streamed or not.
func message(model string, stream bool) string {
	return fmt.Sprintf(`{"model":%q,"max_tokens":64,"stream":%t,"messages":[{"role":"user","content":"hi"}]}`, model, stream)
}

// send sends a request with the headers of Claude Code that matter here, and more of them as pairs
// of name and value.
func (c client) send(ctx context.Context, t *testing.T, path, body string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i, pairs := 0, append([]string{
		"Authorization", "Bearer " + c.token, "Content-Type", "application/json",
		"Anthropic-Version", "2023-06-01", "Anthropic-Beta", clientBetas,
		"User-Agent", "claude-cli/2.1.332 (external, cli)", "X-App", "cli",
		"X-Stainless-Lang", "js", "X-Claude-Code-Session-Id", "a-session",
		"Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}, header...); i < len(pairs); i += 2 {
		req.Header.Set(pairs[i], pairs[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// ask sends a request for a message and reads the response to its end.
func (c client) ask(t *testing.T, body string) daemontest.Response {
	t.Helper()
	resp := c.send(t.Context(), t, "/v1/messages", body)
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return daemontest.Response{Status: resp.StatusCode, Header: resp.Header, Body: string(content)}
}

// nextEvent reads one server-sent event, the empty line at its end included.
func nextEvent(r *bufio.Reader) (string, error) {
	var event strings.Builder
	for {
		line, err := r.ReadString('\n')
		event.WriteString(line)
		if err != nil || line == "\n" {
			return event.String(), err
		}
	}
}
