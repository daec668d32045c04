// Package labapi is the mock of the Messages API with what the labs need in addition: a record of
// what arrived, faults that a client chooses by the model, rate limits, tools, files, compressed
// requests and responses, and certificates for TLS.
//
//	api := httptest.NewServer(labapi.Handler(labapi.Config{RequireOAuthBeta: true}))
//
// # Models
//
//	error-NNN         that status: 400, 401, 403, 404, 413, 429, 500 or 529
//	long-N            N text deltas (100,000 at most)
//	slow, slow-N      200 ms between two events
//	gzip              a compressed response, if the client accepts one
//	error-mid-stream  after two deltas an error event and a clean end
//	cut-mid-stream    after two deltas the connection is aborted
//	stall             after two deltas nothing until the client leaves
//
// Any other model responds with an ordinary message. Without "stream", cut-mid-stream and stall
// send half of the body that Content-Length announces, and error-mid-stream is a 529.
//
// # Tools
//
// A request with tools gets a tool use after its text, of the tool that tool_choice names or of the
// first, unless tool_choice is none or the last message brings a tool's result. The input fits no
// schema on purpose: a client that runs tools must not do anything because of it.
//
// # More endpoints
//
//	POST /v1/messages/count_tokens  a token count
//	GET  /v1/models/{id}            one model
//	POST /v1/files                  an upload (multipart); GET lists or returns one
package labapi

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"oauth-proxyd/internal/fakeupstream"
)

const (
	maxDeltas    = 100_000
	slowInterval = 200 * time.Millisecond
)

// Config says how the API behaves.
type Config struct {
	// RequireOAuthBeta is as in [fakeupstream.Config].
	RequireOAuthBeta bool

	// Observe, if not nil, is called for each request before its response begins. Calls may be
	// concurrent.
	Observe func(Request)
}

// Handler returns the API as a handler.
func Handler(c Config) http.Handler {
	l, api := &lab{}, fakeupstream.Handler(fakeupstream.Config{RequireOAuthBeta: c.RequireOAuthBeta})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setLimits(w.Header(), r.Header)
		body, err := io.ReadAll(r.Body)
		if c.Observe != nil {
			c.Observe(observed(r, body, err == nil))
		}
		if err != nil {
			panic(http.ErrAbortHandler) // the client left
		}
		if r.Header.Get("Anthropic-Version") == "" { // clients of labs may leave it out
			r.Header.Set("Anthropic-Version", "2023-06-01")
		}
		faulty := &faultyWriter{ResponseWriter: w, request: r}
		defer faulty.end()
		l.serve(api, faulty, r, body)
	})
}

// serve has the API check the request. The API sees a message without its Content-Encoding.
func (l *lab) serve(api http.Handler, w *faultyWriter, r *http.Request, body []byte) {
	plain, problem := body, (*fakeupstream.Error)(nil)
	if r.Method+" "+r.URL.Path == "POST /v1/messages" {
		if plain, problem = decoded(r.Header, body); problem != nil {
			plain = []byte("{}")
		}
	}
	g := &gate{ResponseWriter: w, respond: func() any {
		if problem != nil {
			return problem
		}
		return l.respond(w, r, plain)
	}}
	checked := r.WithContext(r.Context())
	checked.Body = io.NopCloser(bytes.NewReader(plain))
	api.ServeHTTP(g, checked)
	g.finish(r)
}

// call is the part of a message request that decides about the response.
type call struct {
	Model    string `json:"model"`
	Stream   bool   `json:"stream"`
	Messages []struct {
		Content json.RawMessage `json:"content"` // a string or a list of blocks
	} `json:"messages"`
	Tools []struct {
		Name string `json:"name"`
	} `json:"tools"`
	ToolChoice struct {
		Type string `json:"type"`
		Name string `json:"name"`
	} `json:"tool_choice"`
}

// directed responds as the model and the tools say, nil for the API's own message, which may get a
// fault.
func directed(w *faultyWriter, r *http.Request, body []byte) any {
	var c call
	if json.Unmarshal(body, &c) != nil {
		return invalid("The request body has a field of the wrong type")
	}
	if e := directedError(c); e != nil {
		if e.Status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "7")
		}
		return e
	}
	w.slow = c.Stream && (c.Model == "slow" || strings.HasPrefix(c.Model, "slow-"))
	switch c.Model {
	case "error-mid-stream", "cut-mid-stream", "stall":
		w.fault = c.Model
	case "gzip":
		w.compress = acceptsGzip(r.Header)
	}
	deltas, tool := c.deltas(), c.tool()
	if deltas == 0 && tool == "" {
		return nil
	}
	m := &message{stopReason: "end_turn", call: c, inputTokens: len(body)/4 + 1}
	m.blocks = append(m.blocks, text(cmp.Or(deltas, len(sentence()))))
	if tool != "" {
		m.blocks, m.stopReason = append(m.blocks, toolUse(id(w, "toolu"), tool)), "tool_use"
	}
	return m
}

// decoded undoes the Content-Encoding of a message (RFC 9110 §8.4). The API takes gzip only.
func decoded(h http.Header, data []byte) ([]byte, *fakeupstream.Error) {
	switch coding := h.Get("Content-Encoding"); coding {
	case "", "identity":
		return data, nil
	case "gzip":
		zip, err := gzip.NewReader(bytes.NewReader(data))
		if err == nil {
			data, err = io.ReadAll(zip)
		}
		if err != nil {
			return nil, invalid("The request body is not in gzip format")
		}
		return data, nil
	default:
		return nil, invalid("Content-Encoding: " + strconv.Quote(coding) + " is not supported")
	}
}

// deltas is the number of text deltas that the model asks for, 0 for none.
func (c call) deltas() int {
	for _, prefix := range []string{"long-", "slow-"} {
		count, named := strings.CutPrefix(c.Model, prefix)
		if n, err := strconv.Atoi(count); named && err == nil && n > 0 {
			return min(n, maxDeltas)
		}
	}
	return 0
}

// tool names the tool to use, "" for none.
func (c call) tool() string {
	if len(c.Tools) == 0 || c.ToolChoice.Type == "none" || c.bringsResult() {
		return ""
	}
	if c.ToolChoice.Name != "" {
		return c.ToolChoice.Name
	}
	return c.Tools[0].Name
}

// bringsResult reports whether the last message holds a tool's result.
func (c call) bringsResult() bool {
	if len(c.Messages) == 0 {
		return false
	}
	var blocks []struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(c.Messages[len(c.Messages)-1].Content, &blocks) != nil {
		return false // a string
	}
	for _, block := range blocks {
		if block.Type == "tool_result" {
			return true
		}
	}
	return false
}

// toolUse is a block whose input comes in pieces, the first of them empty.
func toolUse(id, name string) block {
	const input = `{"note":"from the mock API"}`
	type use struct {
		Type  string          `json:"type"`
		ID    string          `json:"id"`
		Name  string          `json:"name"`
		Input json.RawMessage `json:"input"`
	}
	type delta struct {
		Type        string `json:"type"`
		PartialJSON string `json:"partial_json"`
	}
	return block{
		whole:  use{"tool_use", id, name, json.RawMessage(input)},
		start:  use{"tool_use", id, name, json.RawMessage("{}")},
		deltas: []any{delta{"input_json_delta", ""}, delta{"input_json_delta", input[:9]}, delta{"input_json_delta", input[9:]}},
	}
}

// id makes an identifier of the API's form, as unique as the request's.
func id(w http.ResponseWriter, prefix string) string {
	return prefix + strings.TrimPrefix(w.Header().Get("Request-Id"), "req")
}

// directedError is the error that the model asks for, nil for none.
func directedError(c call) *fakeupstream.Error {
	switch c.Model {
	case "error-400":
		return invalid("messages: at least one message is required")
	case "error-401":
		return &fakeupstream.Error{Status: http.StatusUnauthorized, Type: "authentication_error", Message: "invalid x-api-key"}
	case "error-403":
		return &fakeupstream.Error{
			Status: http.StatusForbidden, Type: "permission_error",
			Message: "Your account does not have permission to use this model",
		}
	case "error-404":
		return notFound("model: error-404")
	case "error-413":
		return &fakeupstream.Error{Status: http.StatusRequestEntityTooLarge, Type: "request_too_large", Message: "Request exceeds the maximum size"}
	case "error-429":
		return &fakeupstream.Error{
			Status: http.StatusTooManyRequests, Type: "rate_limit_error",
			Message: "This request would exceed your account's rate limit",
		}
	case "error-500":
		return &fakeupstream.Error{Status: http.StatusInternalServerError, Type: "api_error", Message: "Internal server error"}
	case "error-529":
		return overloaded()
	case "error-mid-stream":
		if !c.Stream {
			return overloaded()
		}
	}
	return nil
}

func overloaded() *fakeupstream.Error {
	return &fakeupstream.Error{Status: 529, Type: "overloaded_error", Message: "Overloaded"}
}

func invalid(message string) *fakeupstream.Error {
	return &fakeupstream.Error{Status: http.StatusBadRequest, Type: "invalid_request_error", Message: message}
}

func notFound(message string) *fakeupstream.Error {
	return &fakeupstream.Error{Status: http.StatusNotFound, Type: "not_found_error", Message: message}
}
