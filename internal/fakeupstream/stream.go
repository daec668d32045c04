package fakeupstream

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"time"
)

// playStream answers with server-sent events (WHATWG HTML §9.2), each flushed
// by itself.
func (s script) playStream(x *exchange) {
	h := x.w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	send, finish := x.send, func() {}
	if s.gzip {
		h.Set("Content-Encoding", "gzip")
		send, finish = x.zipped()
	}
	x.w.WriteHeader(http.StatusOK)
	deltas, first := 0, true
	for e := range s.events() {
		if !first && s.interval > 0 {
			x.pause(s.interval)
		}
		first = false
		if deltas == misbehaveAfter && s.misbehave(x, send) {
			return
		}
		send(e.bytes(x))
		if e.name == "content_block_delta" {
			deltas++
		}
	}
	finish()
}

// misbehave does what the model's name says, and tells whether the stream
// ends with that.
func (s script) misbehave(x *exchange, send func([]byte)) bool {
	switch s.model {
	case "error-mid-stream":
		send(event{"error", overloaded().body(x)}.bytes(x))
		return true
	case "cut-mid-stream":
		abort(x)
	case "stall":
		x.stall()
	}
	return false
}

// writeHalf promises the whole and gives the half.
func (s script) writeHalf(x *exchange, data []byte) {
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", fmt.Sprint(len(data)))
	x.send(data[:len(data)/2])
	if s.model == "stall" {
		x.stall()
	}
	abort(x)
}

// stall waits until the client leaves or the server is closed.
func (x *exchange) stall() {
	<-x.r.Context().Done()
	abort(x)
}

// pause waits between two events; it does not return if the client leaves.
func (x *exchange) pause(interval time.Duration) {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.r.Context().Done():
		abort(x)
	}
}

// zipped returns a send that compresses, so that each piece can be unpacked on
// arrival, and the function that ends the compression.
func (x *exchange) zipped() (send func([]byte), finish func()) {
	zip := gzip.NewWriter(x.w)
	flush := func() {
		if http.NewResponseController(x.w).Flush() != nil {
			abort(x)
		}
	}
	send = func(data []byte) {
		if _, err := zip.Write(data); err != nil || zip.Flush() != nil {
			abort(x)
		}
		flush()
	}
	finish = func() {
		if zip.Close() != nil {
			abort(x)
		}
		flush()
	}
	return send, finish
}

// event is one server-sent event.
type event struct {
	name string
	data any
}

func (e event) bytes(x *exchange) []byte {
	data, err := json.Marshal(e.data)
	if err != nil {
		abort(x)
	}
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", e.name, data)
}

// events yields the events of a whole stream in order.
func (s script) events() iter.Seq[event] {
	return func(yield func(event) bool) {
		_ = yield(event{"message_start", messageStart{"message_start", s.opening()}}) &&
			s.yieldText(yield) &&
			(s.tool == "" || s.yieldTool(yield)) &&
			yield(event{"message_delta", s.closing()}) &&
			yield(event{"message_stop", bare{"message_stop"}})
	}
}

// yieldText gives the first content block, with a ping after its start.
func (s script) yieldText(yield func(event) bool) bool {
	ok := yield(event{"content_block_start", blockStart{"content_block_start", 0, textBlock{Type: "text"}}}) &&
		yield(event{"ping", bare{"ping"}})
	if !ok {
		return false
	}
	for word := range s.words() {
		if !yield(event{"content_block_delta", blockDelta{"content_block_delta", 0, textDelta{"text_delta", word}}}) {
			return false
		}
	}
	return yield(event{"content_block_stop", blockStop{"content_block_stop", 0}})
}

// yieldTool gives the second content block, whose input comes in pieces, the
// first of them empty.
func (s script) yieldTool(yield func(event) bool) bool {
	block := toolBlock{Type: "tool_use", ID: s.toolID, Name: s.tool, Input: json.RawMessage("{}")}
	if !yield(event{"content_block_start", blockStart{"content_block_start", 1, block}}) {
		return false
	}
	for _, piece := range []string{"", toolInput[:9], toolInput[9:]} {
		if !yield(event{"content_block_delta", blockDelta{"content_block_delta", 1, inputDelta{"input_json_delta", piece}}}) {
			return false
		}
	}
	return yield(event{"content_block_stop", blockStop{"content_block_stop", 1}})
}

// closing is the last word on the message.
func (s script) closing() messageDelta {
	d := messageDelta{Type: "message_delta"}
	d.Delta.StopReason = s.stopReason()
	d.Usage.OutputTokens = s.deltas
	return d
}
