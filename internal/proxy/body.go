package proxy

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"

	"oauth-proxyd/internal/inbound"
)

// keptLimit is how many bytes at the beginning of a body are read before the upstream takes them,
// because net/http notices a client that leaves only after its body was read to the end. They are
// kept for another attempt: an upstream that refuses a request without processing it does so early.
const keptLimit = 1 << 20

var (
	errTooLarge  = errors.New("request body is larger than max_request_body")
	errBodyEnded = errors.New("request body is no longer wanted")
)

// requestBody is the client's body on its path to the upstream. A goroutine reads its beginning,
// into chunks that any number of attempts can read, one after another. What follows passes straight
// through the last attempt:
//
//	client → readAhead → chunks → attemptBody.Read → upstream
//	client ─────────────────────→ attemptBody.Read → upstream
//
//	state   who reads from the client      what Read does after the chunks
//	unread  nobody                         starts readAhead
//	ahead   readAhead, up to keptLimit     waits
//	        or retry.memory, or until the
//	        response begins
//	direct  the latest attempt             reads from the client; no attempt can follow
//	left    nobody: the client gets its    waits
//	        response
//	ended   nobody                         returns err
//	broken  nobody                         fails, also before
type requestBody struct {
	x *exchange

	mu       sync.Mutex // guards the rest
	change   sync.Cond  // signals any change below
	state    bodyState
	reading  bool  // readAhead runs, or a read of the client's body is under way
	last     bool  // no attempt can follow the latest one
	err      error // why the body ended; io.EOF if complete
	trailer  http.Header
	most     int64        // how many bytes at the beginning are kept at most
	chunks   [][]byte     // the beginning; all but the last are full, of size largeBuffer
	latest   *attemptBody // the only one that may read; nil: none
	received int64        // bytes that were read from the client
}

// bodyState is a state of the table above. States change only downwards.
type bodyState int

const (
	bodyUnread bodyState = iota
	bodyAhead
	bodyDirect
	bodyLeft
	bodyEnded
	bodyBroken
)

func newRequestBody(x *exchange) *requestBody {
	b := &requestBody{x: x, most: keptLimit}
	if len(x.in.Trailer) > 0 || x.in.ContentLength < 0 {
		b.trailer = publicTrailer(x.in.Trailer, x.cfg.Identity.Header) // names only, so far
	}
	b.change.L = &b.mu
	return b
}

// attempt gives out the body from its start, with a map for the trailers, which are known only
// after the body. Only the latest attempt may read.
func (b *requestBody) attempt(out *http.Request) {
	b.mu.Lock()
	defer b.settle()
	// net/http writes to its own map while the body is read ahead.
	out.Trailer = maps.Clone(b.trailer)
	b.latest = &attemptBody{body: b, trailer: out.Trailer}
	b.last = b.x.cfg.Proxy.Retry.Attempts == 1
	out.Body = b.latest
}

// attemptBody is the body of one attempt. The transport owns it.
type attemptBody struct {
	body    *requestBody
	trailer http.Header
	taken   int64 // bytes that were read
}

func (a *attemptBody) Read(p []byte) (n int, err error) {
	b := a.body
	b.mu.Lock()
	defer b.settle()
	for b.latest == a && b.state != bodyBroken {
		rest := b.kept(a.taken)
		switch {
		case len(rest) > 0 || b.err != nil:
			n = copy(p, rest)
		case b.state == bodyDirect && !b.reading:
			if conn := b.x.upstream.Load(); conn != nil && a.taken >= largeBuffer && conn.TookNothing() {
				return 0, errBodyEnded // the connection is dead, and another attempt is possible
			}
			if n = b.readDirect(p); n == 0 && b.state != bodyDirect {
				continue
			}
		default:
			b.start()
			b.x.watch.sending(forClientBody)
			b.change.Wait()
			continue
		}
		a.taken += int64(n)
		return n, a.end()
	}
	return 0, errBodyEnded
}

// end returns the end of the body if all of it was taken. The caller holds mu.
func (a *attemptBody) end() error {
	b := a.body
	if b.err == nil || len(b.kept(a.taken)) > 0 {
		b.x.watch.sending(forUpstreamAccept)
		return nil
	}
	if errors.Is(b.err, io.EOF) {
		maps.Copy(a.trailer, b.trailer)
		b.x.watch.sending(forHeader)
	}
	return b.err
}

// Close implements io.Closer. It ends the attempt; another one can still read the body if all of it
// is kept. It ends a read of the client's body by the attempt, because net/http waits for that.
func (a *attemptBody) Close() error {
	b := a.body
	b.mu.Lock()
	defer b.settle()
	if b.latest == a {
		b.latest = nil
		if b.state == bodyDirect && b.reading {
			b.stop(bodyLeft)
		}
	}
	return nil
}

// leaveRest stops reading, so that the header of a response can be written: after an Expect,
// net/http asks then whether the body was read to its end, and waits for a read under way. The
// client may be waiting for the response, and send nothing before it.
func (b *requestBody) leaveRest() {
	b.mu.Lock()
	defer b.settle()
	b.stop(bodyLeft)
}

// begin takes what net/http has read of a short body along with the header, which is mostly all of
// it, and starts to read the rest ahead. It returns at once.
func (b *requestBody) begin(c *inbound.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := b.x.in.ContentLength; n > 0 && n < smallBuffer {
		if space := b.space(); space != nil {
			c.ReadBuffered(func() { b.keep(b.read(space)) })
		}
	}
	b.start()
}

// start starts to read ahead. The caller holds mu.
func (b *requestBody) start() {
	if b.state == bodyUnread {
		b.state, b.reading = bodyAhead, true
		go b.readAhead() // close waits for its end
	}
}

// readAhead reads the beginning of the body.
func (b *requestBody) readAhead() {
	if b.x.awaitsContinue() {
		// net/http would send the 100 itself, without headerMu: perhaps in the middle of a 103.
		b.x.inform(http.StatusContinue, nil)
	}
	b.mu.Lock()
	defer b.settle()
	for b.state == bodyAhead {
		if space := b.space(); space != nil {
			b.keep(b.read(space))
		} else {
			b.state = bodyDirect
		}
	}
	b.reading = false
}

// readDirect reads from the client for the last attempt. The caller holds mu.
func (b *requestBody) readDirect(p []byte) (n int) {
	b.last = true
	b.drop()
	b.x.watch.sending(forClientBody)
	b.reading = true
	n = b.read(p)
	b.reading = false
	return n
}

// read reads from the client and records what came. An early end cancels the request before an
// attempt sees it. The caller holds mu, which is free meanwhile.
func (b *requestBody) read(p []byte) int {
	b.mu.Unlock()
	n, err := b.x.in.Body.Read(p)
	b.mu.Lock()
	if b.received+int64(n) > b.x.cfg.Proxy.MaxRequestBody {
		n, err = 0, errTooLarge
	}
	b.received += int64(n)
	if err != nil && b.state < bodyLeft { // or we interrupted the read
		b.state, b.err = bodyEnded, err
		if !errors.Is(err, io.EOF) {
			b.x.bodyBroke(err)
		} else if len(b.x.in.Trailer) > 0 {
			b.trailer = publicTrailer(b.x.in.Trailer, b.x.cfg.Identity.Header)
		}
	}
	b.change.Broadcast()
	return n
}

// space returns the space for more of the beginning, or nil if no more of it is kept. The caller
// holds mu.
func (b *requestBody) space() []byte {
	if b.received >= b.most {
		return nil
	}
	if n := len(b.chunks); n > 0 && len(b.chunks[n-1]) < cap(b.chunks[n-1]) {
		last := b.chunks[n-1]
		return last[len(last):cap(last)]
	}
	size := largeBuffer
	if n := b.x.in.ContentLength; n >= 0 && n < smallBuffer { // the spare byte lets the read see the end
		size = smallBuffer
	}
	c := b.x.proxy.memory.take(size)
	if c == nil {
		return nil
	}
	b.chunks = append(b.chunks, c)
	return c[:size]
}

// keep adds the n bytes that were read into the space to the beginning. The caller holds mu.
func (b *requestBody) keep(n int) {
	last := &b.chunks[len(b.chunks)-1]
	*last = (*last)[:len(*last)+n]
}

// kept returns what is kept from an offset on, up to the end of a chunk. The caller holds mu.
func (b *requestBody) kept(offset int64) []byte {
	if i := int(offset / largeBuffer); i < len(b.chunks) {
		return b.chunks[i][offset%largeBuffer:]
	}
	return nil
}

// settle ends a change: it gives back the beginning if nobody will read it, signals change, and
// unlocks mu.
func (b *requestBody) settle() {
	b.drop()
	b.change.Broadcast()
	b.mu.Unlock()
}

// drop gives back the beginning if nobody will read it, and nothing is read into it. The caller
// holds mu.
func (b *requestBody) drop() {
	if !b.last || b.reading || b.latest != nil && len(b.kept(b.latest.taken)) > 0 {
		return
	}
	for _, c := range b.chunks {
		b.x.proxy.memory.give(c)
	}
	b.chunks = nil
}

// replayable reports whether another attempt can read the body from its start.
func (b *requestBody) replayable() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.last
}

// forget stops keeping the beginning. It is called when the response begins, because no attempt
// follows.
func (b *requestBody) forget() {
	b.mu.Lock()
	defer b.settle()
	b.last, b.most = true, 0
}

func (b *requestBody) progress() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.received
}

// whole reports whether the body was read to its regular end.
func (b *requestBody) whole() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Is(b.err, io.EOF)
}

// interrupt ends all reading, including a blocked read. The connection cannot carry another request
// after that, unless the body had ended.
func (b *requestBody) interrupt() {
	b.mu.Lock()
	defer b.settle()
	b.stop(bodyBroken)
}

// stop ends reading from the client, including a blocked read. The caller holds mu.
func (b *requestBody) stop(state bodyState) {
	if b.state >= state {
		return
	}
	b.state = state
	if b.reading {
		// Every connection of net/http has deadlines.
		_ = b.x.rc.SetReadDeadline(time.Unix(1, 0))
	}
}

// close ends all reading and gives back the memory. It returns how many bytes were read, and
// whether that was the whole body, so that the connection can carry another request.
func (b *requestBody) close() (received int64, whole bool) {
	b.interrupt()
	b.mu.Lock()
	defer b.settle()
	for b.reading {
		b.change.Wait()
	}
	b.latest, b.last = nil, true
	return b.received, errors.Is(b.err, io.EOF)
}
