package proxy

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"time"
)

// headerDelay is how long the header of an answer waits for the first piece of the body,
// so that both go out in one write. A piece that is there never waits.
const headerDelay = time.Millisecond

// partingTime is how long a client that is being cut off may take to read why.
const partingTime = time.Second

// stream passes the answer on as it comes. An error after the header means that
// it broke off.
func (x *exchange) stream(answer *http.Response) error {
	defer answer.Body.Close() //nolint:errcheck // read to its end, or not wanted any more
	if err := checkStatus(answer.StatusCode); err != nil {
		return err
	}
	x.watch.respond()
	if x.body != nil {
		x.body.forget()
	}
	// The end of a connection ends an answer to HTTP/1.0 (RFC 9112 §6.3), whoever
	// closes it: net/http does by itself when a write fails.
	x.conn.EndWithReset(!x.in.ProtoAtLeast(1, 1))
	x.beginAnswer(answer)
	if !hasNoBody(x.in.Method, answer.StatusCode) { // net/http misses one after a 304 with a length
		if err := x.copyBody(answer.Body); err != nil {
			return err
		}
		if x.rec.sent.Load() < answer.ContentLength {
			return io.ErrUnexpectedEOF // HTTP/2 can end an answer in its header, whatever length that tells
		}
	}
	x.endAnswer(answer.Trailer)
	return nil
}

// inform sends a 1xx answer, unless the final one has begun. It may come from
// any goroutine; the final answer's header is not for it.
func (x *exchange) inform(code int, header http.Header) {
	x.header1x.Lock()
	defer x.header1x.Unlock()
	if x.answered {
		return
	}
	h := x.w.Header()
	final := maps.Clone(h)
	clear(h)
	for name, values := range header {
		if !isHopByHop(name) {
			h[name] = values
		}
	}
	x.w.WriteHeader(code)
	clear(h)
	maps.Copy(h, final)
}

// beginAnswer makes the header. It goes out with the first piece of the body, or soon
// without it: see copyBody.
func (x *exchange) beginAnswer(answer *http.Response) {
	x.header1x.Lock()
	x.answered = true
	x.header1x.Unlock()
	h := x.w.Header()
	copyAnswerHeader(h, answer)
	spareFromHTTP1(h, answer)
	if x.body != nil && !x.body.whole() {
		h["Connection"] = []string{"close"} // its rest may never be read
	}
	if _, ok := h[requestIDHeader]; !ok {
		h[requestIDHeader] = []string{x.rec.RequestID}
	}
	if isPlainEventStream(answer.Header) {
		x.sse = &sseTail{}
	}
	x.rec.began(answer)
	x.proxy.metrics.accounts.note(answer.Header)
	x.conn.Relay(true)
	x.w.WriteHeader(answer.StatusCode)
}

// copyBody flushes each piece as it comes. An answer without a piece is flushed, too, or
// net/http would give it a length.
func (x *exchange) copyBody(body io.Reader) error {
	buffers := &x.proxy.memory.buffers
	buffer := buffers.get(smallBuffer)
	defer func() { buffers.put(buffer) }()
	n, err := x.readFirst(body, buffer)
	for first := true; ; first = false {
		if n > 0 || first {
			if err := x.pass(buffer[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		x.watch.next(forUpstreamBody)
		buffer = buffers.next(buffer, n)
		n, err = body.Read(buffer)
	}
}

// readFirst reads the first piece, and sends the header without it if it does not come
// soon.
func (x *exchange) readFirst(body io.Reader, p []byte) (int, error) {
	defer x.sendHeaderSoon()()
	return body.Read(p)
}

// sendHeaderSoon flushes the header after a moment. What it gives ends that, and must be
// called before anything is written.
func (x *exchange) sendHeaderSoon() (end func()) {
	done := make(chan struct{})
	timer := time.AfterFunc(headerDelay, func() {
		defer close(done)
		x.watch.next(forClientAccept)
		_ = x.rc.Flush() // a client that left is noticed with the first piece
		x.watch.next(forUpstreamBody)
	})
	return func() {
		if !timer.Stop() {
			<-done
		}
	}
}

// pass writes one piece of the answer to the client.
func (x *exchange) pass(p []byte) error {
	x.watch.next(forClientAccept)
	n, err := x.w.Write(p)
	x.rec.sent.Add(int64(n))
	if x.sse != nil {
		x.sse.write(p[:n])
	}
	if err == nil {
		err = x.rc.Flush()
	}
	if err != nil {
		return errClientGone
	}
	return nil
}

// endAnswer sends the trailers. Those that the upstream had not announced need
// net/http's prefix. One that it announced and did not send has no values here; set all
// the same, it keeps net/http from sending a header field of that name for it.
func (x *exchange) endAnswer(trailer http.Header) {
	h := x.w.Header()
	announced := make(map[string]bool)
	for _, name := range h["Trailer"] {
		announced[name] = true
	}
	for name, values := range trailer {
		if !mayTrail(name) {
			continue
		}
		if !announced[name] {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
	x.conn.EndWithReset(false)
	x.rec.ended(outcomeOK, nil)
}

// cut breaks an answer off so that no client can take it for whole. Where a stream
// of events is at a boundary, one more event says why.
func (x *exchange) cut(f *failure) {
	x.rec.ended(string(f.code), f)
	x.broken = true
	_ = x.rc.SetWriteDeadline(time.Now().Add(partingTime)) // the client may not be reading
	if x.sse != nil && x.sse.atBoundary() {
		n, _ := x.w.Write(errorEvent(f.body(x.proxy.host, x.rec.RequestID))) // best effort
		x.rec.sent.Add(int64(n))
		x.conn.Part()
	}
	_ = x.rc.Flush() // likewise
}
