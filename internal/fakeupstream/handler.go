package fakeupstream

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxBody       = 32 << 20         // the API's limit of a message
	headerTimeout = 10 * time.Second // for the header section of a request
)

// Config says how the API behaves. Its zero value responds as fast as it can.
type Config struct {
	// Observe, if not nil, is called for each request before its response begins.
	Observe func(*http.Request)

	// Pause, if not nil, is called before each event of a stream but the first.
	Pause func(*http.Request)

	// RequireOAuthBeta refuses a subscription's bearer token (sk-ant-oat…) with 401 unless
	// anthropic-beta lists oauth-2025-04-20, as api.anthropic.com does.
	RequireOAuthBeta bool
}

// Start serves api on a free port of 127.0.0.1 until stop is called, which cuts all connections.
func Start(api http.Handler) (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("listening on loopback: %w", err)
	}
	s := &http.Server{
		Handler: api, ReadHeaderTimeout: headerTimeout,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // clients may leave
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) }) // it ends with Close
	return "http://" + l.Addr().String(), func() { _ = s.Close(); serving.Wait() }, nil
}

type api struct {
	Config
	serial atomic.Int64
}

// Handler returns the API as a handler.
func Handler(c Config) http.Handler { return &api{Config: c} }

// ServeHTTP reads the whole request before it responds.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.Observe != nil {
		a.Observe(r)
	}
	// Ids differ within a server, and are the same on each run.
	w.Header().Set("Request-Id", fmt.Sprintf("req_011%021d", a.serial.Add(1)))
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		panic(http.ErrAbortHandler) // the client left
	}
	if refused := a.respond(w, r, body); refused != nil {
		refused.Write(w, r)
	}
}

// respond uses the path as it is: a ServeMux would clean it and redirect, which the real API does
// not.
func (a *api) respond(w http.ResponseWriter, r *http.Request, body []byte) *Error {
	route := r.Method + " " + r.URL.Path
	switch {
	case route == "HEAD /", route == "HEAD /api/hello", route == "GET /api/hello":
		writeJSON(w, http.StatusOK, []byte(`{"message":"hello"}`))
		return nil
	case !strings.HasPrefix(r.URL.Path, "/v1/"):
		return &Error{http.StatusNotFound, "not_found_error", "Not found"}
	case len(body) > maxBody:
		return &Error{http.StatusRequestEntityTooLarge, "request_too_large", "Request exceeds the maximum size"}
	}
	if refusal := a.refusal(r.Header); refusal != nil {
		return refusal
	}
	switch route {
	case "POST /v1/messages":
		return a.message(w, r, body)
	case "GET /v1/models":
		writeJSON(w, http.StatusOK, []byte(models))
		return nil
	}
	return &Error{http.StatusNotFound, "not_found_error", "Not found"}
}

const models = `{"data":[{"created_at":"2025-09-29T00:00:00Z","display_name":"Claude Sonnet 4.5","id":"claude-sonnet-4-5-20250929","type":"model"}],` +
	`"first_id":"claude-sonnet-4-5-20250929","has_more":false,"last_id":"claude-sonnet-4-5-20250929"}`

// writeJSON sends data with its length.
func writeJSON(w http.ResponseWriter, status int, data []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	send(w, data)
}

// send does not return if the client has left.
func send(w http.ResponseWriter, data []byte) {
	_, err := w.Write(data)
	if errors.Is(err, http.ErrBodyNotAllowed) { // the response to HEAD
		return
	}
	if err != nil || http.NewResponseController(w).Flush() != nil {
		panic(http.ErrAbortHandler)
	}
}
