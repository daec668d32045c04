package fakeupstream

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// maxBody is the API's limit of a message, in bytes.
const maxBody = 32 << 20

// Config says how the API behaves. Its zero value responds as fast as it can.
type Config struct {
	// EventInterval is the pause before each event of a stream but the first.
	EventInterval time.Duration

	// RequireOAuthBeta refuses a subscription's bearer token (sk-ant-oat…) with 401 unless
	// anthropic-beta lists oauth-2025-04-20, as api.anthropic.com does.
	RequireOAuthBeta bool

	// Observe, if not nil, is called for each request before its response begins. Calls may be
	// concurrent.
	Observe func(Request)

	// Script, if not nil, may change the response to a message, given the JSON of its body.
	Script func(w http.ResponseWriter, r *http.Request, body []byte, s *Script)

	// Endpoint, if not nil, responds to everything else under /v1/, with a value to send as JSON or
	// an *Error.
	Endpoint func(w http.ResponseWriter, r *http.Request, body []byte) any
}

// api is the handler.
type api struct {
	Config
	serial atomic.Int64
}

// Handler returns the API as a handler.
func Handler(c Config) http.Handler { return &api{Config: c} }

// ServeHTTP reads the request, reports it to the observer, and responds.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Ids differ within a server, and are the same on each run.
	w.Header().Set("Request-Id", fmt.Sprintf("req_011%021d", a.serial.Add(1)))
	setLimits(w.Header(), r.Header)
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if a.Observe != nil {
		a.Observe(observed(r, body, err == nil && len(body) <= maxBody))
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the client left
	}
	switch response := a.respond(w, r, body).(type) {
	case *Error:
		response.write(w, r)
	case *Script:
		response.play(w, r)
	default:
		writeJSON(w, http.StatusOK, response)
	}
}

// respond returns a value to send as JSON, a *Script to play, or an *Error. It goes by the path as
// it is: a ServeMux would clean it and redirect, which the real API does not.
func (a *api) respond(w http.ResponseWriter, r *http.Request, body []byte) any {
	switch r.Method + " " + r.URL.Path {
	case "HEAD /", "HEAD /api/hello", "GET /api/hello":
		return map[string]string{"message": "hello"}
	}
	if !strings.HasPrefix(r.URL.Path, "/v1/") {
		return NotFound("Not found")
	}
	if len(body) > maxBody {
		return TooLarge()
	}
	if refusal := a.refusal(r.Header); refusal != nil {
		return refusal
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/messages":
		return a.message(w, r, body)
	case "GET /v1/models":
		return models()
	}
	if a.Endpoint != nil {
		return a.Endpoint(w, r, body)
	}
	return NotFound("Not found")
}

// call is the part of a message request that decides about the response.
type call struct {
	Model             string          `json:"model"`
	Stream            bool            `json:"stream"`
	ContextManagement json.RawMessage `json:"context_management"`
}

// message returns the *Script of the response, or an *Error.
func (a *api) message(w http.ResponseWriter, r *http.Request, body []byte) any {
	body, problem := decoded(r.Header, body)
	if problem != nil {
		return problem
	}
	var c call
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) || !json.Valid(body) {
		return Invalid("The request body is not valid JSON")
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return Invalid("The request body has a field of the wrong type")
	}
	if c.ContextManagement != nil && !hasBeta(r.Header, "context-management-2025-06-27") {
		return Invalid("context_management: Extra inputs are not permitted")
	}
	s := newScript(w, c, len(body))
	s.Interval = a.EventInterval
	if a.Script != nil {
		a.Script(w, r, body, s)
	}
	if s.Error != nil {
		return s.Error
	}
	return s
}

// decoded undoes the Content-Encoding of a message (RFC 9110 §8.4). The API takes gzip only.
func decoded(h http.Header, data []byte) ([]byte, *Error) {
	switch coding := h.Get("Content-Encoding"); coding {
	case "", "identity":
		return data, nil
	case "gzip":
		zip, err := gzip.NewReader(bytes.NewReader(data))
		if err == nil {
			data, err = io.ReadAll(io.LimitReader(zip, maxBody))
		}
		if err != nil {
			return nil, Invalid("The request body is not in gzip format")
		}
		return data, nil
	default:
		return nil, Invalid("Content-Encoding: " + strconv.Quote(coding) + " is not supported")
	}
}

// models is the list of GET /v1/models.
func models() any {
	const id = "claude-sonnet-4-5-20250929"
	model := map[string]string{
		"type": "model", "id": id, "display_name": "Claude Sonnet 4.5", "created_at": "2025-09-29T00:00:00Z",
	}
	return map[string]any{"data": []any{model}, "first_id": id, "has_more": false, "last_id": id}
}

// writeJSON sends value with its length.
func writeJSON(w http.ResponseWriter, status int, value any) {
	data := mustMarshal(value)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	send(w, data)
}

// send writes and flushes. It does not return if the client is gone.
func send(w http.ResponseWriter, data []byte) {
	if _, err := w.Write(data); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		panic(http.ErrAbortHandler)
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// mustMarshal is for values of this package and of tests.
func mustMarshal(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return data
}
