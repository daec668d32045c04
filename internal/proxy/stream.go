package proxy

import (
	"errors"
	"io"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"
)

// stream passes the response on as it comes. After an error the response is cut.
func (x *exchange) stream(response *http.Response) error {
	defer response.Body.Close() //nolint:errcheck // read to its end, or no longer needed
	if err := checkStatus(response.StatusCode); err != nil {
		return err
	}
	x.watch.next(forUpstreamBody)
	if x.body != nil {
		x.body.forget()
	}
	// The end of the connection ends a response to HTTP/1.0 (RFC 9112 §6.3). net/http also closes
	// the connection when a write fails, which must not look like that end.
	x.conn.EndWithReset(!x.in.ProtoAtLeast(1, 1))
	x.beginResponse(response)
	if !hasNoBody(x.in.Method, response.StatusCode) { // net/http would miss the body of a 304 with a length
		err := x.copyBody(response.Body)
		whole := x.rec.sent.Load() == response.ContentLength
		if err != nil && !(whole && x.explain(err) == nil) { // a client that has it all may leave before the upstream ends it
			return err
		}
		if x.rec.sent.Load() < response.ContentLength {
			return io.ErrUnexpectedEOF // HTTP/2 can end a response early, whatever its Content-Length
		}
	}
	x.endResponse(response.Trailer)
	return nil
}

// beginResponse writes the header. net/http sends it with the first piece of the body, or
// sendHeaderSoon without one.
func (x *exchange) beginResponse(response *http.Response) {
	x.headerMu.Lock()
	x.responded = true
	x.headerMu.Unlock()
	h := x.w.Header()
	copyResponseHeader(h, response)
	adaptToHTTP1(h, response)
	if x.unread() {
		h["Connection"] = []string{"close"} // the rest of the body may never be read
	}
	if _, ok := h[requestIDHeader]; !ok {
		h[requestIDHeader] = []string{x.rec.RequestID}
	}
	account := x.usage.Responded(response.Header, x.rec.limitUser())
	x.rec.began(response, streamKind(response.Header), account)
	x.proxy.outcomes.began(x.rec, time.Now())
	x.conn.Relay(true)
	x.leaveBody()
	x.w.WriteHeader(response.StatusCode)
}

// copyBody writes and flushes each piece as it comes. A response without a body is flushed, too,
// because net/http would add a Content-Length otherwise.
func (x *exchange) copyBody(body io.Reader) error {
	buffers := &x.proxy.memory.buffers
	buffer := buffers.get(smallBuffer)
	defer func() { buffers.put(buffer) }()
	end := x.sendHeaderSoon()
	n, err := body.Read(payload(buffer))
	end()
	chunked := x.ownChunks()
	for first := true; ; first = false {
		if errors.Is(err, io.EOF) {
			x.usage.End() // before the client sees the end and sends its next request
		}
		if n > 0 || first {
			if err := x.pass(buffer, n, chunked && !first); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		buffer = buffers.next(buffer, n)
		n, err = body.Read(payload(buffer))
	}
}

// sendHeaderSoon flushes the header after all goroutines that are ready to run have had a turn. The
// one that reads from the upstream has then passed on a first piece that came with the header, and
// both go out in one write: 90 to 100 of 100 responses in a measurement over loopback. A header
// without a piece is not held for longer: a timer of 1 ms delayed it by 1.1 ms, and by up to 3 with
// the unit's TimerSlackNSec=. The returned function ends this, and must be called before anything
// is written.
func (x *exchange) sendHeaderSoon() (end func()) {
	var begun atomic.Bool
	done := make(chan struct{})
	go func() {
		runtime.Gosched()
		if !begun.CompareAndSwap(false, true) {
			return
		}
		defer close(done)
		x.watch.writing()
		_ = x.rc.Flush() // a client that left is noticed with the first piece
		x.watch.next(forUpstreamBody)
	}()
	return func() {
		if !begun.CompareAndSwap(false, true) {
			<-done
		}
	}
}

// pass writes the n bytes in payload(buffer) to the client, through net/http or as a chunk of our
// own.
func (x *exchange) pass(buffer []byte, n int, chunk bool) error {
	x.watch.writing()
	p := payload(buffer)[:n]
	var err error
	if chunk {
		_, err = x.conn.Conn.Write(frame(buffer, n))
	} else if n, err = x.w.Write(p); err == nil {
		err = x.rc.Flush()
	}
	if err != nil {
		x.torn = true
		return errClientGone
	}
	x.watch.next(forUpstreamBody)
	x.rec.sent.Add(int64(n))
	data, pings, at := n, 0, x.watch.moved.Load()
	if x.rec.Stream == StreamEvents {
		data, pings = x.sse.write(p)
		x.rec.events.add(data, pings, at)
	}
	if data > 0 && !x.steady && !x.sse.failing && time.Duration(at)-x.rec.FirstByte.Duration() >= steadyAfter {
		x.steady = true
		x.proxy.outcomes.flowed(x.rec, time.Now())
	}
	return nil
}

// ownChunks reports whether the proxy writes the chunks of the response itself, after the first
// piece. An event then passes through three buffers less: 17.7 instead of 25.5 µs of processor
// time. That relies on net/http, whose Flush leaves nothing of such a response in its buffers, so
// our chunks follow what it wrote. It ends the response, with its last chunk and trailers, as if
// they were its own. A response to HTTP/1.0, or with a Content-Length, has no chunks.
func (x *exchange) ownChunks() bool {
	return x.conn.Conn != nil && x.in.ProtoAtLeast(1, 1) && len(x.w.Header()["Content-Length"]) == 0
}

// How many bytes of a buffer are for the frame of a chunk: at most "7ff8\r\n" before the data, and
// "\r\n" behind.
const (
	chunkHead = 6
	chunkEnd  = 2
)

// payload returns the part of a buffer that is for the data of a chunk.
func payload(p []byte) []byte { return p[chunkHead : len(p)-chunkEnd] }

// frame makes a chunk (RFC 9112 §7.1) of the n bytes at the start of payload(p).
func frame(p []byte, n int) []byte {
	begin, end := chunkHead-2, chunkHead+n
	copy(p[begin:], "\r\n")
	copy(p[end:], "\r\n")
	for size := n; size > 0; size >>= 4 {
		begin--
		p[begin] = "0123456789abcdef"[size&15]
	}
	return p[begin : end+chunkEnd]
}

// endResponse sends the trailers. A trailer that the upstream did not announce needs net/http's
// prefix. One that it announced and did not send is set without values, or net/http would send the
// header field of that name instead.
func (x *exchange) endResponse(trailer http.Header) {
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
	x.setOutcome(outcomeOK, "")
}
