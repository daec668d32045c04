package inbound

import (
	"bytes"
	"net/http"
	"slices"
	"sync"
	"time"
)

// scanner follows the bytes of a connection from request to request, and keeps what net/http does
// not report about a header: the field names as they were written, and how many Content-Length and
// Transfer-Encoding fields there were, some of which net/http drops. Headers and bodies alternate:
//
//	POST / HTTP/1.1          atRequest, then atRest to the end of the line
//	Content-Length: 2        atField, atName, atLength; other values atRest
//	                         an empty line ends the header, which is kept; its fields say
//	{}                       atBody, or for a chunked body atChunk and atBody in turn, then a
//	                         trailer, read as a header that is not kept
//
// It accepts whatever net/http accepts; net/http ends the connection at anything else. If the
// two disagree, next returns false, and the request is treated as misframed.
type scanner struct {
	mu      sync.Mutex // net/http may read a byte in the background while a handler begins
	heads   []header   // of requests that no handler has taken yet
	serving bool       // a handler has a request
	ended   time.Time  // when the handler of the last request ended
	at      scanState
	then    scanState // follows atRest and atBody

	head    header // being read
	name    []byte // of the field being read, up to maxName bytes
	left    int64  // bytes of the body or the chunk still to come
	digits  bool   // the digits of a chunk's size have ended
	trailer bool   // the fields are those of a trailer
}

// scanState says what the next byte belongs to.
type scanState int

const (
	atRequest scanState = iota // the start of a request
	atRest                     // a line whose rest does not matter
	atField                    // the start of a header line
	atName                     // the name of a field
	atLength                   // the value of Content-Length
	atBody                     // counted bytes
	atChunk                    // the line with the size of a chunk
	atLost                     // nothing is known any more
)

const (
	maxName  = 64      // longer names are cut
	maxNames = 1 << 10 // all names of one header together
	// usualNames has room for the field names of Claude Code's requests.
	usualNames = 320
	maxSize    = 1 << 50 // a larger body is not followed
)

// header is what scanner keeps of a header.
type header struct {
	names            []byte // each with a line end
	lengths, codings int    // how many Content-Length and Transfer-Encoding fields
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

// isServing reports whether a handler has a request.
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

// idleSince returns when the last request ended, which is zero before the first one. idle is false
// if a byte of another request has come.
func (s *scanner) idleSince() (ended time.Time, idle bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended, s.isIdle()
}

// isIdle reports whether no byte has come since the last request. The caller holds mu.
func (s *scanner) isIdle() bool { return !s.serving && len(s.heads) == 0 && s.at == atRequest }

// misframed reports whether net/http silently dropped a framing field of r: a Content-Length beside
// a Transfer-Encoding, or a Transfer-Encoding in HTTP/1.0. RFC 9112 §6.1 calls such framing faulty
// and wants the connection closed.
func (h *header) misframed(r *http.Request) bool {
	if r.ProtoAtLeast(1, 1) {
		return len(r.TransferEncoding) > 0 && h.lengths > 0
	}
	return h.codings > 0
}

// scan reads the next bytes from the client. It reports whether they are the first since the last
// request.
func (s *scanner) scan(p []byte) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first = s.isIdle()
	for len(p) > 0 && s.at != atLost {
		switch s.at {
		case atRest:
			end := bytes.IndexByte(p, '\n')
			if end < 0 {
				return first
			}
			p, s.at = p[end+1:], s.then
		case atBody:
			n := min(s.left, int64(len(p)))
			if s.left -= n; s.left == 0 {
				s.at = s.then
			}
			p = p[n:]
		default:
			s.step(p[0])
			p = p[1:]
		}
	}
	return first
}

// step reads one byte.
func (s *scanner) step(c byte) {
	switch s.at {
	case atRequest:
		if c != '\r' && c != '\n' { // net/http skips empty lines after a POST
			s.head, s.left = header{names: make([]byte, 0, usualNames)}, 0
			s.at, s.then = atRest, atField
		}
	case atField:
		s.beginLine(c)
	case atName:
		s.readName(c)
	case atLength:
		s.readLength(c)
	case atChunk:
		s.readChunk(c)
	}
}

func (s *scanner) beginLine(c byte) {
	switch c {
	case '\r':
	case '\n':
		s.endHeader()
	case ' ', '\t':
		s.at, s.then = atRest, atField // it continues the line before
	default:
		s.name, s.at = append(s.name[:0], c), atName
	}
}

func (s *scanner) readName(c byte) {
	switch {
	case c == '\n':
		s.at = atLost // net/http refuses it
	case c == ':':
		s.endName()
	case len(s.name) < maxName:
		s.name = append(s.name, c)
	}
}

func (s *scanner) endName() {
	s.at, s.then = atRest, atField
	if s.trailer {
		return
	}
	switch {
	case bytes.EqualFold(s.name, []byte("content-length")):
		s.head.lengths++
		s.at, s.left = atLength, 0
	case bytes.EqualFold(s.name, []byte("transfer-encoding")):
		s.head.codings++
	}
	if len(s.head.names)+len(s.name) < maxNames {
		s.head.names = append(append(s.head.names, s.name...), '\n')
	}
}

func (s *scanner) readLength(c byte) {
	switch {
	case c == '\n':
		s.at = atField
	case '0' <= c && c <= '9' && s.left < maxSize:
		s.left = 10*s.left + int64(c-'0')
	case c != ' ' && c != '\t' && c != '\r':
		s.at = atLost
	}
}

func (s *scanner) endHeader() {
	switch {
	case s.trailer:
		s.trailer, s.at = false, atRequest
		return
	case s.head.codings > 0:
		s.left, s.digits, s.at = 0, false, atChunk
	case s.left > 0:
		s.at, s.then = atBody, atRequest
	default:
		s.at = atRequest
	}
	s.heads = append(s.heads, s.head)
}

// readChunk reads the size of a chunk and skips the extension after it (RFC 9112 §7.1). Each chunk
// ends with a line end.
func (s *scanner) readChunk(c byte) {
	digit := bytes.IndexByte([]byte("0123456789abcdef"), c|0x20)
	switch {
	case c == '\n' && s.left == 0:
		s.trailer, s.at = true, atField
	case c == '\n':
		s.left += int64(len("\r\n"))
		s.digits, s.at, s.then = false, atBody, atChunk
	case s.left >= maxSize:
		s.at = atLost
	case digit >= 0 && !s.digits:
		s.left = 16*s.left + int64(digit)
	default:
		s.digits = true
	}
}
