package fakeupstream

import (
	"encoding/json"
	"iter"
	"net/http"
	"strings"
	"time"
)

// misbehaveAfter is the number of deltas that a stream gives before it goes
// wrong.
const misbehaveAfter = 2

// script is one answer, planned.
type script struct {
	messageID string
	toolID    string
	model     string
	stream    bool
	deltas    int
	tool      string
	tokens    int64
	interval  time.Duration
	gzip      bool
}

// sentence is what the upstream says, word by word.
func sentence() []string {
	return strings.SplitAfter("Hello from the loopback upstream! Your request arrived whole, and this answer comes to you word by word.", " ")
}

// words yields the text deltas: the sentence, repeated or cut as needed.
func (s script) words() iter.Seq[string] {
	return func(yield func(string) bool) {
		words := sentence()
		for i := range s.deltas {
			word := words[i%len(words)]
			if i > 0 && i%len(words) == 0 {
				word = " " + word
			}
			if !yield(word) {
				return
			}
		}
	}
}

// play answers with the script.
func (s script) play(x *exchange) {
	if s.model == "trailers" {
		x.announceTrailers()
		defer s.setTrailers(x) // net/http sends them when the handler returns
	}
	if s.stream {
		s.playStream(x)
		return
	}
	s.playWhole(x)
}

// playWhole answers with one JSON message. The models that break a stream
// break it too: in the middle of its bytes.
func (s script) playWhole(x *exchange) {
	if s.model == "error-mid-stream" {
		overloaded().write(x)
		return
	}
	if s.interval > 0 {
		x.pause(s.interval)
	}
	data, err := json.Marshal(s.message())
	if err != nil {
		abort(x)
	}
	if s.gzip {
		x.w.Header().Set("Content-Encoding", "gzip")
		data = compressed(data)
	}
	if s.model == "cut-mid-stream" || s.model == "stall" {
		s.writeHalf(x, data)
	}
	x.writeBody(http.StatusOK, "application/json", data)
}

// message is the answer in one piece.
func (s script) message() message {
	var text strings.Builder
	for word := range s.words() {
		text.WriteString(word)
	}
	m := s.opening()
	m.Content = append(m.Content, textBlock{Type: "text", Text: text.String()})
	if s.tool != "" {
		m.Content = append(m.Content, toolBlock{Type: "tool_use", ID: s.toolID, Name: s.tool, Input: json.RawMessage(toolInput)})
	}
	m.StopReason = new(s.stopReason())
	m.Usage.OutputTokens = s.deltas
	return m
}

// opening is the message before it has content.
func (s script) opening() message {
	return message{
		ID:      s.messageID,
		Type:    "message",
		Role:    "assistant",
		Model:   s.model,
		Content: []any{},
		Usage:   usage{InputTokens: s.tokens, OutputTokens: 1, ServiceTier: "standard"},
	}
}

func (s script) stopReason() string {
	if s.tool != "" {
		return "tool_use"
	}
	return "end_turn"
}
