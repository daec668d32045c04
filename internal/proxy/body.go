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

// readAheadLimit is how many bytes of a body are read before the upstream takes them: net/http
// notices a client that leaves only after its body was read to the end.
const readAheadLimit = 1 << 20

// replayLimit is how many bytes of a body the upstream may take before the body is no longer kept
// for another attempt. An upstream that refuses a request without processing it does so early, and
// keeping 32 MB costs a third of the processor time of an upload.
const replayLimit = 4 << 20

var (
	errTooLarge  = errors.New("request body is larger than max_request_body")
	errBodyEnded = errors.New("request body is no longer wanted")
)

// requestBody is the client's body on its path to the upstream: one reader, chunks, and any number
// of attempts one after another.
//
//	client → readAll → chunks → attemptBody.Read → upstream
//
// A failed attempt therefore does not wait for a silent client, and a client that leaves is noticed
// while the upstream takes nothing. Chunks are kept for another attempt until the response begins,
// until the upstream has taken replayLimit, or until retry.memory is used up.
type requestBody struct {
	x      *exchange
	reader sync.WaitGroup

	mu       sync.Mutex // guards the rest
	change   sync.Cond  // signals any change below
	state    bodyState
	err      error // why it ended; io.EOF if complete
	trailer  http.Header
	chunks   [][]byte // the bytes from offset base on
	base     int64
	received int64        // offset up to which the client's body was read
	latest   *attemptBody // the only one that may read; nil: none
	taken    int64        // offset up to which it has read
	kept     bool         // chunks stay after they were taken
	held     bool         // reading must not start: the response may have begun
	wanted   bool         // latest waits for more
}

// bodyState says how far the client's body was read. States change only downwards in this list.
type bodyState int

const (
	bodyUnread  bodyState = iota // the reader has not started
	bodyReading                  // the reader runs
	bodyLeft                     // the rest stays unread, because the client gets its response
	bodyEnded                    // nothing more comes; err says why
	bodyBroken                   // nothing is read or given out any more
)

// newRequestBody returns the body of the request of x.
func newRequestBody(x *exchange) *requestBody {
	b := &requestBody{x: x, kept: x.cfg.Proxy.Retry.Attempts > 1}
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
	defer b.mu.Unlock()
	// net/http writes to its own map while the body is read ahead.
	out.Trailer = maps.Clone(b.trailer)
	b.latest = &attemptBody{body: b, trailer: out.Trailer}
	b.taken, b.held, b.wanted = 0, false, false
	b.change.Broadcast()
	out.Body = b.latest
}

// attemptBody is the body of one attempt. The transport owns it.
type attemptBody struct {
	body    *requestBody
	trailer http.Header
}

// Read implements io.Reader.
func (a *attemptBody) Read(p []byte) (int, error) {
	b := a.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.awaitData(a) {
		return 0, errBodyEnded
	}
	b.wanted = false
	n := b.copyNext(p)
	b.taken += int64(n)
	b.drop()
	b.change.Broadcast()
	if b.taken < b.received || b.err == nil {
		b.x.watch.sending(forUpstreamAccept)
		return n, nil
	}
	if errors.Is(b.err, io.EOF) {
		maps.Copy(a.trailer, b.trailer)
		b.x.watch.sending(forHeader)
	}
	return n, b.err
}

// Close implements io.Closer. It ends the attempt; another one can still read the body.
func (a *attemptBody) Close() error {
	b := a.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.latest == a {
		b.latest, b.wanted = nil, false
	}
	b.change.Broadcast()
	return nil
}

// awaitData waits until there are more bytes or an end for a, and starts the reader if necessary.
// It returns false if a must not read any more. The caller holds mu.
func (b *requestBody) awaitData(a *attemptBody) bool {
	for b.latest == a && b.state != bodyBroken {
		switch {
		case b.taken < b.received || b.err != nil:
			return true
		case b.held && b.state == bodyUnread:
			b.x.watch.sending(forHeader)
		default:
			b.start()
			b.wanted = true
			b.x.watch.sending(forClientBody)
		}
		b.change.Broadcast()
		b.change.Wait()
	}
	return false
}

// hold(true) forbids starting to read: a final response may have come in place of 100 Continue, and
// net/http would otherwise ask the client for the body. hold(false) allows it again.
func (b *requestBody) hold(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = on
	b.change.Broadcast()
}

// leaveRest stops reading, so that the header of a response can be written: after an Expect,
// net/http asks then whether the body was read to its end, and waits for a read under way. The
// client may be waiting for the response, and send nothing before it.
func (b *requestBody) leaveRest() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == bodyReading {
		b.x.unfollow() // net/http cancels the request because of the interrupted read
		b.stop()
		b.state = bodyLeft
	}
}

// copyNext copies the next bytes for the latest attempt out of chunks. The caller holds mu.
func (b *requestBody) copyNext(p []byte) (n int) {
	skip := b.taken - b.base
	for _, c := range b.chunks {
		if size := int64(len(c)); skip >= size {
			skip -= size
			continue
		}
		n += copy(p[n:], c[skip:])
		skip = 0
		if n == len(p) {
			break
		}
	}
	return n
}

// readAhead starts the reader before the upstream takes anything. It returns at once.
func (b *requestBody) readAhead() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.start()
}

// takeBuffered takes what net/http has read of a short body along with the header. That is mostly
// the whole body, which then needs no reader goroutine.
func (b *requestBody) takeBuffered(c *inbound.Conn) {
	if n := b.x.in.ContentLength; n <= 0 || n >= smallBuffer {
		return
	}
	b.mu.Lock()
	var free []byte
	if b.state == bodyUnread {
		free = b.space()
	}
	b.mu.Unlock()
	if free != nil {
		c.ReadBuffered(func() { b.add(b.x.in.Body.Read(free)) })
	}
}

// start starts the reader. The caller holds mu.
func (b *requestBody) start() {
	if b.state == bodyUnread {
		b.state = bodyReading
		b.reader.Go(b.readAll)
	}
}

func (b *requestBody) readAll() {
	if b.x.awaitsContinue() {
		// net/http would send the 100 itself, without headerMu: perhaps in the middle of a 103.
		b.x.inform(http.StatusContinue, nil)
	}
	for more := true; more; {
		free := b.awaitSpace()
		if free == nil {
			return
		}
		n, err := b.x.in.Body.Read(free)
		more = b.add(n, err)
	}
}

// awaitSpace waits for buffer space and returns it, or nil when reading must stop.
func (b *requestBody) awaitSpace() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.state == bodyReading {
		if free := b.space(); free != nil {
			return free
		}
		b.change.Wait()
	}
	return nil
}

// space returns the buffer space for the next bytes, or nil if the upstream must take some first.
// The caller holds mu.
func (b *requestBody) space() []byte {
	if b.received-b.taken >= readAheadLimit {
		return nil
	}
	if n := len(b.chunks); n > 0 && len(b.chunks[n-1]) < cap(b.chunks[n-1]) {
		last := b.chunks[n-1]
		return last[len(last):cap(last)]
	}
	if b.kept && b.taken > replayLimit {
		b.kept = false
		b.drop()
	}
	size := largeBuffer
	if n := b.x.in.ContentLength; n >= 0 && n < smallBuffer { // the spare byte lets the read see the end
		size = smallBuffer
	}
	c := b.x.proxy.memory.take(size, false)
	if c == nil && b.wanted {
		b.kept = false // there is no memory to keep what was taken
		b.drop()
		c = b.x.proxy.memory.take(size, true)
	}
	if c == nil {
		return nil
	}
	b.chunks = append(b.chunks, c)
	return c[:size]
}

// add records n bytes that were read into the buffer space, and reports whether to read on.
func (b *requestBody) add(n int, err error) (more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.received+int64(n) > b.x.cfg.Proxy.MaxRequestBody {
		n, err = 0, errTooLarge
	}
	b.received += int64(n)
	last := &b.chunks[len(b.chunks)-1]
	*last = (*last)[:len(*last)+n]
	if err != nil {
		b.finish(err)
	}
	b.change.Broadcast()
	return err == nil
}

// finish records the end of the body. An early end cancels the request before an attempt sees it.
// The caller holds mu.
func (b *requestBody) finish(err error) {
	switch {
	case b.state == bodyBroken:
		b.err = errBodyEnded // we interrupted the read
		return
	case errors.Is(err, io.EOF):
		if len(b.x.in.Trailer) > 0 {
			b.trailer = publicTrailer(b.x.in.Trailer, b.x.cfg.Identity.Header)
		}
	case b.state == bodyLeft:
		return // we interrupted the read here, too
	default:
		b.x.bodyBroke(err)
	}
	b.state, b.err = bodyEnded, err
}

// drop gives back the chunks that were taken, unless they are kept. The last chunk stays while it
// has space and more may come, because a read may be filling it. The caller holds mu.
func (b *requestBody) drop() {
	for !b.kept && len(b.chunks) > 0 {
		c := b.chunks[0]
		if b.base+int64(len(c)) > b.taken || len(c) < cap(c) && b.err == nil {
			return
		}
		b.base += int64(len(c))
		b.x.proxy.memory.give(c)
		b.chunks = b.chunks[1:]
	}
}

// replayable reports whether another attempt can read the body from its start.
func (b *requestBody) replayable() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.base == 0
}

// forget stops keeping chunks. It is called when the response begins, because no attempt follows.
func (b *requestBody) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = false
	b.drop()
}

// progress returns how many bytes were read.
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

// interrupt ends all reading of a body that has not ended, including a blocked read. The connection
// cannot carry another request after that.
func (b *requestBody) interrupt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != bodyEnded {
		b.stop()
	}
}

// stop ends all reading. The caller holds mu.
func (b *requestBody) stop() {
	if b.state == bodyReading {
		_ = b.x.rc.SetReadDeadline(time.Unix(1, 0)) // every connection of net/http has deadlines
	}
	b.state = bodyBroken
	b.change.Broadcast()
}

// close ends all reading and gives back the memory. It returns how many bytes were read, and
// whether that was the whole body, so that the connection can carry another request.
func (b *requestBody) close() (received int64, whole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stop()
	b.mu.Unlock()
	b.reader.Wait()
	b.mu.Lock()
	for _, c := range b.chunks {
		b.x.proxy.memory.give(c)
	}
	b.chunks = nil
	return b.received, errors.Is(b.err, io.EOF)
}
