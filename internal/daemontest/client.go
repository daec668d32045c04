package daemontest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Credentials of the right form that nobody has.
const (
	APIKey     = "sk-ant-api03-made-up"
	OAuthToken = "sk-ant-oat01-made-up"
)

// Response is one that was read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   string
}

// Ask sends a request, with pairs of a header's name and value, and reads the response to its end.
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

// Want compares the status, and looks for all the words in the body.
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

// Object is the body as a JSON object.
func (r Response) Object(t *testing.T) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(r.Body), &o); err != nil {
		t.Fatalf("%v in %q", err, r.Body)
	}
	return o
}
