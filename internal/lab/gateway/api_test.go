package gateway_test

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/labapi"
)

// api is the mock API, with a list of what it received.
type api struct {
	*httptest.Server
	gone chan string // the path of each request whose client left

	mu   sync.Mutex
	seen []labapi.Request
	held *held // nil: nothing is held back
}

func startAPI(t *testing.T) *api {
	t.Helper()
	a := &api{gone: make(chan string, 100)}
	a.Server = httptest.NewServer(a.wrap(labapi.Handler(labapi.Config{RequireOAuthBeta: true, Observe: a.observe})))
	t.Cleanup(func() { a.CloseClientConnections(); a.Close() })
	return a
}

func (a *api) observe(r labapi.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = append(a.seen, r)
}

// all are the requests that the API received so far.
func (a *api) all() []labapi.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.seen)
}

// only returns the one request that the API received.
func (a *api) only(t *testing.T) labapi.Request {
	t.Helper()
	seen := a.all()
	if len(seen) != 1 {
		t.Fatalf("the API received %d requests, want one", len(seen))
	}
	return seen[0]
}

// hold holds back each event from now on, until the test releases it.
func (a *api) hold() *held {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held = &held{release: make(chan struct{}, 1)}
	return a.held
}

func (a *api) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if r.Context().Err() != nil {
				a.gone <- r.URL.Path
			}
		}()
		a.mu.Lock()
		held := a.held
		a.mu.Unlock()
		if held != nil {
			w = heldWriter{w, r, held}
		}
		next.ServeHTTP(w, r)
	})
}

// awaitGone waits until the API has seen a client leave.
func (a *api) awaitGone(t *testing.T) {
	t.Helper()
	select {
	case <-a.gone:
	case <-time.After(daemontest.Patience):
		t.Error("the API did not see the client leave")
	}
}

// held is a stream that waits before each event, and what was sent so far.
type held struct {
	release chan struct{}

	mu   sync.Mutex
	sent []string
}

func (h *held) events() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sent
}

// readThrough reads a response to its end, and releases the next event when it has the one before.
// It returns the events and how the response ended.
func (h *held) readThrough(t *testing.T, resp *http.Response) (events []string, err error) {
	t.Helper()
	stuck := time.AfterFunc(daemontest.Patience, func() { resp.Body.Close() })
	defer stuck.Stop()
	for body := bufio.NewReader(resp.Body); ; {
		event, err := nextEvent(body)
		if err != nil {
			return events, err
		}
		events = append(events, event)
		select {
		case h.release <- struct{}{}:
		default: // nobody waits: what came was not an event of the API
		}
	}
}

type heldWriter struct {
	http.ResponseWriter
	request *http.Request
	held    *held
}

// Unwrap is for http.ResponseController.
func (w heldWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write is called once for each event.
func (w heldWriter) Write(event []byte) (int, error) {
	select {
	case <-w.held.release:
	case <-w.request.Context().Done():
		return 0, w.request.Context().Err()
	}
	w.held.mu.Lock()
	w.held.sent = append(w.held.sent, string(event))
	w.held.mu.Unlock()
	return w.ResponseWriter.Write(event)
}
