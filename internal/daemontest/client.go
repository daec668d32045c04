package daemontest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Made-up credentials of the right form.
const (
	APIKey     = "sk-ant-api03-made-up"
	OAuthToken = "sk-ant-oat01-made-up"
)

// Response is a response that was read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   string
}

// Ask sends a request and reads the response to its end. header has names and values in turn.
func Ask(c *http.Client, method, url, body string, header ...string) (Response, error) {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return Response{}, err
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	response, err := c.Do(request)
	if err != nil {
		return Response{}, err
	}
	text, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	return Response{response.StatusCode, response.Header, string(text)}, err
}

// Want fails the test unless the response has the status, and the body has all the words.
func (r Response) Want(t *testing.T, status int, words ...string) {
	t.Helper()
	if r.Status != status {
		t.Errorf("status %d, want %d; body: %s", r.Status, status, r.Body)
	}
	for _, w := range words {
		if !strings.Contains(r.Body, w) {
			t.Errorf("the body lacks %q: %s", w, r.Body)
		}
	}
}

// Object decodes the body, a JSON object.
func (r Response) Object(t *testing.T) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(r.Body), &o); err != nil {
		t.Fatalf("%v in %q", err, r.Body)
	}
	return o
}
