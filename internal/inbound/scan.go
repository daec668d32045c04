package inbound

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// scanner follows the bytes of a connection from request to request, and keeps what net/http does
// not report about a header: whether it had a Content-Length and a Transfer-Encoding, which
// net/http may drop. Everything but a body or a chunk is a line:
//
//	POST / HTTP/1.1          atRequest
//	Content-Length: 2        atFields; the empty line ends the header, which is kept
//
//	{}                       as many bytes as it says, or for a chunked body in turn a line
//	                         atChunk and its bytes, then fields atTrailer
//
// It accepts whatever net/http accepts, but gives up at lengths that are folded, padded or huge;
// net/http ends the connection at anything else. If the two disagree, next returns false, and the
// request is treated as misframed.
//
// It runs ahead of the handlers, because one read may bring several requests of a client that does
// not wait for responses:
//
//	POST / … {} GET /a … GET /b … GE
//	└ served ─┘ └ heads ────────┘ └ line: what was read so far
type scanner struct {
	// mu: scan runs in net/http's reads, one of which waits in the background while a handler runs;
	// hasRequest and idleSince run where another connection needs room.
	mu      sync.Mutex
	heads   []header  // of requests that no handler has taken yet
	serving bool      // a handler has a request
	ended   time.Time // when the last request ended; before that, when the client connected
	at      scanState
	head    header // being read
	left    int64  // bytes of the body or the chunk still to come
	line    []byte // that has begun, up to maxLine bytes; may be part of a credential
}

// scanState says what the next line is.
type scanState int

const (
	atRequest scanState = iota // a request line
	atFields                   // a field of a header, or its end
	atChunk                    // the size of a chunk
	atTrailer                  // a field of a trailer, or its end
	atLost                     // nothing is known any more
)

const maxLine = 64 // longer lines are cut

type header struct {
	length int64 // -1: there is no Content-Length
	coded  bool  // there is a Transfer-Encoding
}

// next returns the header of the request that a handler is about to serve; ok is false if it is not
// known.
func (s *scanner) next() (h header, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving = true
	if len(s.heads) == 0 {
		s.at = atLost
		return header{}, false
	}
	h = s.heads[0]
	s.heads = slices.Delete(s.heads, 0, 1)
	return h, true
}

// end records that the handler of a request has ended, and the response is written.
func (s *scanner) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving, s.ended = false, time.Now()
}

func (s *scanner) isServing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serving
}

// hasRequest reports whether a whole header was read whose request is not over.
func (s *scanner) hasRequest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serving || len(s.heads) > 0
}

// idleSince returns when the last request ended; idle is false if a byte of another one has come.
func (s *scanner) idleSince() (ended time.Time, idle bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended, !s.serving && len(s.heads) == 0 && s.at == atRequest && s.left == 0 && len(s.line) == 0
}

// misframed reports whether net/http silently dropped a framing field of r: a Content-Length beside
// a Transfer-Encoding, or a Transfer-Encoding in HTTP/1.0. RFC 9112 §6.1 calls such framing faulty
// and wants the connection closed.
func (h *header) misframed(r *http.Request) bool {
	if r.ProtoAtLeast(1, 1) {
		return len(r.TransferEncoding) > 0 && h.length >= 0
	}
	return h.coded
}

func (s *scanner) scan(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 && s.at != atLost {
		if s.left > 0 {
			n := min(s.left, int64(len(p)))
			s.left, p = s.left-n, p[n:]
			continue
		}
		part, rest, whole := bytes.Cut(p, []byte("\n"))
		s.line = append(s.line, part[:min(len(part), maxLine-len(s.line))]...)
		p = rest
		if whole {
			s.endLine(bytes.TrimRight(s.line, "\r"), len(s.line) == maxLine)
			clear(s.line)
			s.line = s.line[:0]
		}
	}
}

// endLine reads a line, which was cut if it was too long.
func (s *scanner) endLine(line []byte, cut bool) {
	switch {
	case s.at == atRequest:
		if len(line) > 0 { // net/http skips empty lines after a POST
			s.head, s.at = header{length: -1}, atFields
		}
	case s.at == atChunk:
		s.beginChunk(line)
	case len(line) > 0:
		s.readField(line, cut)
	case s.at == atTrailer:
		s.at = atRequest
	case s.head.coded:
		s.heads, s.at = append(s.heads, s.head), atChunk
	default:
		s.heads, s.at = append(s.heads, s.head), atRequest
		s.left = max(0, s.head.length)
	}
}

func (s *scanner) readField(line []byte, cut bool) {
	name, value, found := bytes.Cut(line, []byte(":"))
	switch {
	case line[0] == ' ' || line[0] == '\t': // it continues the line before
	case bytes.EqualFold(name, []byte("content-length")):
		length, ok := readSize(value, 10)
		s.head.length = length
		if !ok || cut {
			s.at = atLost
		}
	case bytes.EqualFold(name, []byte("transfer-encoding")):
		s.head.coded = true
	case !found && !cut:
		s.at = atLost // net/http refuses it
	}
}

// beginChunk reads the size of a chunk and skips the extension after it (RFC 9112 §7.1). Each chunk
// ends with a line end.
func (s *scanner) beginChunk(line []byte) {
	digits, _, _ := bytes.Cut(line, []byte(";"))
	switch size, ok := readSize(digits, 16); {
	case !ok:
		s.at = atLost
	case size == 0:
		s.at = atTrailer
	default:
		s.left = size + int64(len("\r\n"))
	}
}

// readSize parses the size of a body or a chunk that is not too large to follow.
func readSize(digits []byte, base int) (size int64, ok bool) {
	n, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), base, 50)
	return int64(n), err == nil //nolint:gosec // 50 bits fit
}
