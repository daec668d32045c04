package fakeupstream_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"oauth-proxyd/internal/fakeupstream"
)

const (
	apiKey = "sk-ant-api03-not-a-key"
	oauth  = "sk-ant-oat01-not-a-token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves the API for the length of the test, and returns its base URL.
func start(t *testing.T, c fakeupstream.Config) (url string) {
	t.Helper()
	url, stop, err := fakeupstream.Start(fakeupstream.Handler(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return url
}

func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
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
	r.Header.Set("Anthropic-Version", "2023-06-01")
	return r
}

// message posts body to /v1/messages.
func message(t *testing.T, url, body string) (*http.Response, string) {
	t.Helper()
	return do(t, client(t), request(t.Context(), t, http.MethodPost, url+"/v1/messages", strings.NewReader(body)))
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

// failure is the part of an error body that tests look at.
type failure struct {
	Type  string `json:"type"`
	Error struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
	RequestID string `json:"request_id"`
}

func parseFailure(t *testing.T, resp *http.Response, body string) failure {
	t.Helper()
	var f failure
	if err := json.Unmarshal([]byte(body), &f); err != nil {
		t.Fatalf("error body %q: %v", body, err)
	}
	if f.Type != "error" || f.RequestID == "" || f.RequestID != resp.Header.Get("Request-Id") {
		t.Errorf("error body %q, request-id %q: want the API's shape with the same id", body, resp.Header.Get("Request-Id"))
	}
	return f
}
