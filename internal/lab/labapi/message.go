package labapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"oauth-proxyd/internal/fakeupstream"
)

// message is a response to POST /v1/messages that has more than the API's one text.
type message struct {
	blocks     []block
	stopReason string

	call        call
	inputTokens int
}

// block is one content block of a message (https://docs.claude.com/en/api/messages).
type block struct {
	whole  any   // in a message that is not streamed
	start  any   // at its beginning in a stream
	deltas []any // what a stream adds to it, one event each
}

func sentence() []string {
	return strings.SplitAfter("Hello from the mock API! Your request arrived whole, and this response comes to you word by word.", " ")
}

// text returns a block with that many words, and a delta for each.
func text(words int) block {
	type text struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	var all strings.Builder
	b, sentence := block{start: text{Type: "text"}}, sentence()
	for i := range words {
		word := sentence[i%len(sentence)]
		if i > 0 && i%len(sentence) == 0 {
			word = " " + word
		}
		all.WriteString(word)
		b.deltas = append(b.deltas, text{"text_delta", word})
	}
	b.whole = text{"text", all.String()}
	return b
}

// body returns the message in JSON. A stream begins with one that has no content and no reason to
// stop.
func (m *message) body(w http.ResponseWriter, blocks, stopReason any, outputTokens int) json.RawMessage {
	return fmt.Appendf(nil, `{"id":%q,"type":"message","role":"assistant","model":%s,"content":%s,"stop_reason":%s,"stop_sequence":null,`+
		`"usage":{"input_tokens":%d,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":%d,"service_tier":"standard"}}`,
		id(w, "msg"), mustMarshal(m.call.Model), mustMarshal(blocks), mustMarshal(stopReason), m.inputTokens, outputTokens)
}

func (m *message) write(w http.ResponseWriter) {
	var content []any
	outputTokens := 0
	for _, b := range m.blocks {
		content, outputTokens = append(content, b.whole), outputTokens+len(b.deltas)
	}
	if !m.call.Stream {
		writeJSON(w, m.body(w, content, m.stopReason, outputTokens))
		return
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	event := func(name, format string, fields ...any) {
		send(w, fmt.Appendf(nil, "event: %[1]s\ndata: {\"type\":%[1]q%[2]s}\n\n", name, fmt.Sprintf(format, fields...)))
	}
	event("message_start", `,"message":%s`, m.body(w, []any{}, nil, 1))
	for i, b := range m.blocks {
		event("content_block_start", `,"index":%d,"content_block":%s`, i, mustMarshal(b.start))
		if i == 0 {
			event("ping", "")
		}
		for _, d := range b.deltas {
			event("content_block_delta", `,"index":%d,"delta":%s`, i, mustMarshal(d))
		}
		event("content_block_stop", `,"index":%d`, i)
	}
	event("message_delta", `,"delta":{"stop_reason":%q,"stop_sequence":null},"usage":{"output_tokens":%d}`, m.stopReason, outputTokens)
	event("message_stop", "")
}

// gate lets the API check a request and respond, unless respond has a response in place of one that
// the API accepts, or of an endpoint that it does not have.
type gate struct {
	http.ResponseWriter
	respond func() any // nil: the API's response
	instead any
}

// WriteHeader implements http.ResponseWriter.
func (g *gate) WriteHeader(status int) {
	if status == http.StatusOK || status == http.StatusNotFound {
		g.instead = g.respond()
	}
	if g.instead == nil {
		g.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (g *gate) Write(p []byte) (int, error) {
	if g.instead != nil {
		return len(p), nil
	}
	return g.ResponseWriter.Write(p)
}

// FlushError is for http.ResponseController.
func (g *gate) FlushError() error {
	if g.instead != nil {
		return nil
	}
	return http.NewResponseController(g.ResponseWriter).Flush()
}

// finish sends the response in place of the API's, if there is one.
func (g *gate) finish(r *http.Request) {
	w := g.ResponseWriter
	if g.instead != nil {
		for _, name := range []string{"Content-Length", "Cache-Control", "X-Should-Retry"} {
			w.Header().Del(name)
		}
	}
	switch response := g.instead.(type) {
	case nil:
	case *fakeupstream.Error:
		response.Write(w, r)
	case *message:
		response.write(w)
	default:
		writeJSON(w, mustMarshal(response))
	}
}

func writeJSON(w http.ResponseWriter, data []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(http.StatusOK)
	send(w, data)
}

// send does not return if the client has left.
func send(w http.ResponseWriter, data []byte) {
	if _, err := w.Write(data); err != nil || http.NewResponseController(w).Flush() != nil {
		panic(http.ErrAbortHandler)
	}
}

// mustMarshal is for values that all have a JSON form.
func mustMarshal(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return data
}
