package fakeupstream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

const (
	// text is what the API says, word by word.
	text = "Hello from the mock API! Your request arrived whole, and this response comes to you word by word."

	// messageFormat takes ID, model, content, stop reason, and the tokens of input and output.
	messageFormat = `{"id":"msg_%s","type":"message","role":"assistant","model":%s,"content":[%s],"stop_reason":%s,"stop_sequence":null,` +
		`"usage":{"input_tokens":%d,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":%d,"service_tier":"standard"}}`
)

// message responds to POST /v1/messages (https://docs.claude.com/en/api/messages), or returns why
// the request is refused.
func (a *api) message(w http.ResponseWriter, r *http.Request, body []byte) *Error {
	var request struct {
		Model             string          `json:"model"`
		Stream            bool            `json:"stream"`
		ContextManagement json.RawMessage `json:"context_management"`
	}
	switch {
	case !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) || !json.Valid(body):
		return invalid("The request body is not valid JSON")
	case json.Unmarshal(body, &request) != nil:
		return invalid("The request body has a field of the wrong type")
	case request.ContextManagement != nil && !hasBeta(r.Header, "context-management-2025-06-27"):
		return invalid("context_management: Extra inputs are not permitted")
	}
	words := strings.SplitAfter(text, " ")
	model, _ := json.Marshal(request.Model) // a string has a JSON form
	whole := func(content, stopReason string, tokens int) []byte {
		id := strings.TrimPrefix(w.Header().Get("Request-Id"), "req_")
		return fmt.Appendf(nil, messageFormat, id, model, content, stopReason, len(body)/4+1, tokens) // a plausible count
	}
	if request.Stream {
		a.stream(w, r, whole("", "null", 1), words)
	} else {
		writeJSON(w, http.StatusOK, whole(fmt.Sprintf(`{"type":"text","text":%q}`, text), `"end_turn"`, len(words)))
	}
	return nil
}

// stream sends a message word by word as server-sent events, each in a Write and a Flush of its own
// (https://docs.claude.com/en/docs/build-with-claude/streaming).
func (a *api) stream(w http.ResponseWriter, r *http.Request, start []byte, words []string) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	event := func(name, format string, fields ...any) {
		if name != "message_start" && a.Pause != nil {
			a.Pause(r)
		}
		send(w, fmt.Appendf(nil, "event: %[1]s\ndata: {\"type\":%[1]q%[2]s}\n\n", name, fmt.Sprintf(format, fields...)))
	}
	event("message_start", `,"message":%s`, start)
	event("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`)
	event("ping", "")
	for _, word := range words {
		event("content_block_delta", `,"index":0,"delta":{"type":"text_delta","text":%q}`, word)
	}
	event("content_block_stop", `,"index":0`)
	event("message_delta", `,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":%d}`, len(words))
	event("message_stop", "")
}
