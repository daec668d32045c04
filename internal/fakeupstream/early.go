package fakeupstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

// headSize is how much of a body is searched for a model that wants its answer
// before the body was read.
const headSize = 4 << 10

// linger is how long the HTTP/1.1 server reads on after "early-close".
const linger = 100 * time.Millisecond

// readHead reads the body's first bytes, until the model's name is seen or
// they are headSize. For the early models it returns the answer as well.
func (u *upstream) readHead(x *exchange) ([]byte, answer) {
	head := make([]byte, 0, headSize)
	for len(head) < cap(head) {
		n, err := x.body.Read(head[len(head):cap(head)])
		head = head[:len(head)+n]
		c := glance(head)
		if c.Model == "early" || c.Model == "early-close" {
			return nil, u.answerEarly(x, c)
		}
		if c.Model != "" || errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, abort
		}
	}
	return head, nil
}

// answerEarly refuses, or answers before the rest of the body is read.
func (u *upstream) answerEarly(x *exchange, c call) answer {
	x.early = true
	// Without this, the HTTP/1.1 server reads the body before it answers.
	// HTTP/2 is always full duplex and may say that it is not supported.
	_ = http.NewResponseController(x.w).EnableFullDuplex()
	play := u.script(x, c).play
	if refusal := u.refusal(x.r); refusal != nil {
		play = refusal.write
	}
	if c.Model == "early-close" {
		return hangUpAfter(play)
	}
	return func(x *exchange) {
		play(x)
		// Full duplex, net/http would take an unread rest for a request.
		if x.body.discard(maxMessageBody) != nil {
			abort(x)
		}
	}
}

// hangUpAfter answers and leaves the rest of the body unread. HTTP/2 resets
// the stream by itself (RFC 9113 §8.1). The HTTP/1.1 server closes the
// connection, but tries to read up to 256 KiB first; the deadline ends that.
// It is not in the past, because to close on unread bytes is to reset the
// connection, and the client might lose the answer.
func hangUpAfter(play answer) answer {
	return func(x *exchange) {
		if x.r.ProtoMajor != 1 {
			play(x)
			return
		}
		x.w.Header().Set("Connection", "close")
		play(x)
		_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(linger))
	}
}

// glance finds model and stream among the top-level fields of an object that
// need not be complete.
func glance(head []byte) call {
	var c call
	dec := json.NewDecoder(bytes.NewReader(head))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return c
	}
	for {
		key, err := dec.Token()
		if err != nil {
			return c
		}
		var value any
		if dec.Decode(&value) != nil {
			return c
		}
		switch typed := value.(type) {
		case string:
			if key == "model" {
				c.Model = typed
			}
		case bool:
			c.Stream = c.Stream || key == "stream" && typed
		}
	}
}
