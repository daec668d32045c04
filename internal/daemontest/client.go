package daemontest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// Credentials of the right form that nobody has.
const (
	APIKey     = "sk-ant-api03-made-up"
	OAuthToken = "sk-ant-oat01-made-up"
)

// ClientAs is a client whose sockets belong to another user of this host, as the kernel
// shows it to others. It takes root.
func ClientAs(uid int) *http.Client {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := syscall.Setfsuid(uid); err != nil { // of this thread; its sockets get it
			return nil, err
		}
		defer syscall.Setfsuid(os.Getuid()) //nolint:errcheck // of a thread that was root
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

// Answer is one that came whole.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Ask sends a request, with pairs of a header's name and value, and reads its answer to
// the end.
func Ask(c *http.Client, method, url, body string, header ...string) (Answer, error) {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	response, err := c.Do(r)
	if err != nil {
		return Answer{}, err
	}
	text, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	return Answer{response.StatusCode, response.Header, string(text)}, err
}

// Want compares the status, and looks for all the words in the body.
func (a Answer) Want(t *testing.T, status int, words ...string) {
	t.Helper()
	if a.Status != status {
		t.Errorf("status %d, want %d; body: %s", a.Status, status, a.Body)
	}
	for _, w := range words {
		if !strings.Contains(a.Body, w) {
			t.Errorf("the body lacks %q: %s", w, a.Body)
		}
	}
}

// Object is the body as a JSON object.
func (a Answer) Object(t *testing.T) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(a.Body), &o); err != nil {
		t.Fatalf("%v in %q", err, a.Body)
	}
	return o
}
