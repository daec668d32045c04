package fakeupstream

import (
	"encoding/json"
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

	// Extend, if not nil, is asked first for the response to a request under /v1/ that has a
	// credential: a *Message, an *Error or a value to send as JSON; nil leaves it to the API.
	Extend func(w http.ResponseWriter, r *http.Request, body []byte) any
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
	switch response := a.respond(w, r, body).(type) {
	case *Error:
		response.write(w, r)
	case *Message:
		response.write(w, r)
	default:
		writeJSON(w, http.StatusOK, response)
	}
}

// respond returns an *Error, a *Message, or a value to send as JSON. It uses the path as it is: a
// ServeMux would clean it and redirect, which the real API does not.
func (a *api) respond(w http.ResponseWriter, r *http.Request, body []byte) any {
	route := r.Method + " " + r.URL.Path
	switch {
	case route == "HEAD /", route == "HEAD /api/hello", route == "GET /api/hello":
		return map[string]string{"message": "hello"}
	case !strings.HasPrefix(r.URL.Path, "/v1/"):
		return NotFound("Not found")
	case len(body) > maxBody:
		return TooLarge()
	}
	if refusal := a.refusal(r.Header); refusal != nil {
		return refusal
	}
	if a.Extend != nil {
		if response := a.Extend(w, r, body); response != nil {
			return response
		}
	}
	switch route {
	case "POST /v1/messages":
		m, problem := NewMessage(w, r, body)
		if problem != nil {
			return problem
		}
		m.pause = a.Pause
		return m
	case "GET /v1/models":
		return json.RawMessage(models)
	}
	return NotFound("Not found")
}

const models = `{"data":[{"created_at":"2025-09-29T00:00:00Z","display_name":"Claude Sonnet 4.5","id":"claude-sonnet-4-5-20250929","type":"model"}],` +
	`"first_id":"claude-sonnet-4-5-20250929","has_more":false,"last_id":"claude-sonnet-4-5-20250929"}`

// writeJSON sends value with its length.
func writeJSON(w http.ResponseWriter, status int, value any) {
	data := mustMarshal(value)
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

// mustMarshal is for the values of this package and of labs, which all have a JSON form.
func mustMarshal(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return data
}
