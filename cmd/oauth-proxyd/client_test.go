package main_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// newClient follows no redirect and shares no connection with another test.
func newClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience, CheckRedirect: stay}
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// newH2CClient speaks HTTP/2 without TLS, with prior knowledge.
func newH2CClient(t *testing.T) *http.Client {
	t.Helper()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{DisableCompression: true, Protocols: &protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// answer is one that came whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request and reads its answer to the end.
func ask(c *http.Client, method, url, body string, header ...string) (answer, error) {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	response, err := c.Do(r)
	if err != nil {
		return answer{}, err
	}
	text, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	return answer{response.StatusCode, response.Header, string(text)}, err
}

func get(t *testing.T, url string, header ...string) answer {
	t.Helper()
	a, err := ask(newClient(t), http.MethodGet, url, "", header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a answer) want(t *testing.T, status int, words ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d; body: %s", a.status, status, a.body)
	}
	for _, w := range words {
		if !strings.Contains(a.body, w) {
			t.Errorf("the body lacks %q: %s", w, a.body)
		}
	}
}

// object is the body as a JSON object.
func (a answer) object(t *testing.T) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(a.body), &o); err != nil {
		t.Fatalf("%v in %q", err, a.body)
	}
	return o
}

// result is what a request in the background came to.
type result struct {
	answer
	err error
}

// background sends a request whose answer is waited for later.
func background(t *testing.T, c *http.Client, method, url, body string, header ...string) func() result {
	t.Helper()
	done := make(chan result, 1)
	go func() {
		a, err := ask(c, method, url, body, header...)
		done <- result{a, err}
	}()
	return func() result {
		t.Helper()
		select {
		case r := <-done:
			return r
		case <-time.After(patience):
			t.Fatalf("%s %s: no answer", method, url)
			return result{}
		}
	}
}

// eventually waits for what cannot be waited on otherwise.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(patience)
	for !is() {
		select {
		case <-ticker.C:
		case <-late:
			t.Fatalf("still not: %s", what)
		}
	}
}
