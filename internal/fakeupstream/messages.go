package fakeupstream

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxDeltas    = 100_000
	slowInterval = 200 * time.Millisecond
)

// call is the part of a message request that decides about the answer. What
// is missing or unknown is accepted: this is no validator.
type call struct {
	Model             string          `json:"model"`
	Stream            bool            `json:"stream"`
	Messages          []turn          `json:"messages"`
	ContextManagement json.RawMessage `json:"context_management"`
	Tools             []struct {
		Name string `json:"name"`
	} `json:"tools"`
	ToolChoice struct {
		Type string `json:"type"`
		Name string `json:"name"`
	} `json:"tool_choice"`

	size int64 // of the body, in bytes, after decompression
}

// turn is one message of the conversation; its content is a string or a list
// of blocks.
type turn struct {
	Content json.RawMessage `json:"content"`
}

// messages answers POST /v1/messages.
func (u *upstream) messages(x *exchange) answer {
	head, reply := u.readHead(x)
	if reply != nil {
		return reply
	}
	c, reply := u.readCall(x, head)
	if reply != nil {
		return reply
	}
	if problem := directedError(c.Model); problem != nil {
		return problem.write
	}
	return u.script(x, c).play
}

// countTokens answers POST /v1/messages/count_tokens.
func (u *upstream) countTokens(x *exchange) answer {
	c, reply := u.readCall(x, nil)
	if reply != nil {
		return reply
	}
	if problem := directedError(c.Model); problem != nil {
		return problem.write
	}
	return respond(tokenCount{InputTokens: c.tokens()})
}

// readCall reads the body, of which head was read before, and judges the
// request; the answer is nil if nothing is wrong with it.
func (u *upstream) readCall(x *exchange, head []byte) (call, answer) {
	rest, err := x.body.readAll(maxMessageBody)
	if err != nil {
		return call{}, unreadable(err)
	}
	if refusal := u.refusal(x.r); refusal != nil {
		return call{}, refusal.write
	}
	data, problem := decoded(x.r.Header, slices.Concat(head, rest))
	if problem != nil {
		return call{}, problem.write
	}
	c := call{size: int64(len(data))}
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) || !json.Valid(data) {
		return call{}, invalid("The request body is not valid JSON").write
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return call{}, invalid("The request body has a field of the wrong type").write
	}
	if c.ContextManagement != nil && !hasBeta(x.r.Header, "context-management-2025-06-27") {
		return call{}, invalid("context_management: Extra inputs are not permitted").write
	}
	return c, nil
}

// script plans the answer to a call.
func (u *upstream) script(x *exchange, c call) script {
	s := script{
		messageID: x.id("msg"),
		toolID:    x.id("toolu"),
		model:     c.Model,
		stream:    c.Stream,
		deltas:    c.deltas(),
		tool:      c.tool(),
		tokens:    c.tokens(),
		interval:  u.cfg.EventInterval,
		gzip:      c.Model == "gzip" && acceptsGzip(x.r.Header),
	}
	if c.Model == "slow" || strings.HasPrefix(c.Model, "slow-") {
		s.interval = max(s.interval, slowInterval)
	}
	return s
}

// deltas is the number of text deltas that the model asks for.
func (c call) deltas() int {
	for _, prefix := range []string{"long-", "slow-"} {
		count, named := strings.CutPrefix(c.Model, prefix)
		if n, err := strconv.Atoi(count); named && err == nil && n > 0 {
			return min(n, maxDeltas)
		}
	}
	return len(sentence())
}

// tool names the tool to use, "" for none: the one that is asked for, or the
// first. The result of a tool is answered with text, so that a conversation
// comes to its end.
func (c call) tool() string {
	if len(c.Tools) == 0 || c.ToolChoice.Type == "none" || c.bringsResult() {
		return ""
	}
	if c.ToolChoice.Name != "" {
		return c.ToolChoice.Name
	}
	return c.Tools[0].Name
}

// bringsResult tells whether the last message holds a tool's result.
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

// tokens is a plausible count: four bytes each.
func (c call) tokens() int64 { return c.size/4 + 1 }

// tokenCount is the answer of count_tokens.
type tokenCount struct {
	InputTokens int64 `json:"input_tokens"`
}
