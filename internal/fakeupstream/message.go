package fakeupstream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Message is the response to POST /v1/messages.
type Message struct {
	// Blocks are the content of the message.
	Blocks []Block
	// StopReason says why the message ends: "end_turn".
	StopReason string

	pause       func(*http.Request) // nil: none
	id          string
	request     messageRequest
	inputTokens int
}

// messageRequest is the part of a request that decides about the response.
type messageRequest struct {
	Model             string          `json:"model"`
	Stream            bool            `json:"stream"`
	ContextManagement json.RawMessage `json:"context_management"`
}

// Block is one content block of a message (https://docs.claude.com/en/api/messages).
type Block struct {
	// Whole is the block in a message that is not streamed.
	Whole any
	// Start is the block at its beginning in a stream.
	Start any
	// Deltas are what a stream adds to it, one event each.
	Deltas []any
}

// NewMessage returns the ordinary message in response to body, or why that is refused.
func NewMessage(w http.ResponseWriter, r *http.Request, body []byte) (*Message, *Error) {
	m := &Message{
		Blocks: []Block{Text(len(sentence()))}, StopReason: "end_turn",
		id:          "msg_" + strings.TrimPrefix(w.Header().Get("Request-Id"), "req_"),
		inputTokens: len(body)/4 + 1, // a plausible count
	}
	switch {
	case !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) || !json.Valid(body):
		return nil, Invalid("The request body is not valid JSON")
	case json.Unmarshal(body, &m.request) != nil:
		return nil, Invalid("The request body has a field of the wrong type")
	case m.request.ContextManagement != nil && !hasBeta(r.Header, "context-management-2025-06-27"):
		return nil, Invalid("context_management: Extra inputs are not permitted")
	}
	return m, nil
}

func sentence() []string {
	return strings.SplitAfter("Hello from the mock API! Your request arrived whole, and this response comes to you word by word.", " ")
}

// Text returns a block with that many words, and a delta for each.
func Text(words int) Block {
	type text struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	var all strings.Builder
	b, sentence := Block{Start: text{Type: "text"}}, sentence()
	for i := range words {
		word := sentence[i%len(sentence)]
		if i > 0 && i%len(sentence) == 0 {
			word = " " + word
		}
		all.WriteString(word)
		b.Deltas = append(b.Deltas, text{"text_delta", word})
	}
	b.Whole = text{"text", all.String()}
	return b
}

// body returns the message in JSON. A stream begins with one that has no content and no reason to
// stop.
func (m *Message) body(blocks, stopReason any, outputTokens int) json.RawMessage {
	return fmt.Appendf(nil, `{"id":%q,"type":"message","role":"assistant","model":%s,"content":%s,"stop_reason":%s,"stop_sequence":null,`+
		`"usage":{"input_tokens":%d,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":%d,"service_tier":"standard"}}`,
		m.id, mustMarshal(m.request.Model), mustMarshal(blocks), mustMarshal(stopReason), m.inputTokens, outputTokens)
}

// outputTokens counts each delta as one.
func (m *Message) outputTokens() (n int) {
	for _, b := range m.Blocks {
		n += len(b.Deltas)
	}
	return n
}

func (m *Message) write(w http.ResponseWriter, r *http.Request) {
	if m.request.Stream {
		m.writeEvents(w, r)
		return
	}
	var content []any
	for _, b := range m.Blocks {
		content = append(content, b.Whole)
	}
	writeJSON(w, http.StatusOK, m.body(content, m.StopReason, m.outputTokens()))
}

// writeEvents sends the message as server-sent events, each in a Write and a Flush of its own
// (https://docs.claude.com/en/docs/build-with-claude/streaming).
func (m *Message) writeEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	for i, e := range m.events() {
		if i > 0 && m.pause != nil {
			m.pause(r)
		}
		send(w, []byte(e))
	}
}

func (m *Message) events() (all []string) {
	add := func(name, format string, fields ...any) {
		all = append(all, fmt.Sprintf("event: %[1]s\ndata: {\"type\":%[1]q", name)+fmt.Sprintf(format, fields...)+"}\n\n")
	}
	add("message_start", `,"message":%s`, m.body([]any{}, nil, 1))
	for i, b := range m.Blocks {
		add("content_block_start", `,"index":%d,"content_block":%s`, i, mustMarshal(b.Start))
		if i == 0 {
			add("ping", "")
		}
		for _, d := range b.Deltas {
			add("content_block_delta", `,"index":%d,"delta":%s`, i, mustMarshal(d))
		}
		add("content_block_stop", `,"index":%d`, i)
	}
	add("message_delta", `,"delta":{"stop_reason":%q,"stop_sequence":null},"usage":{"output_tokens":%d}`, m.StopReason, m.outputTokens())
	add("message_stop", "")
	return all
}
