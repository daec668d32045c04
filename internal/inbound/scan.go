package inbound

import (
	"bytes"
	"net/http"
	"slices"
	"sync"
)

// scanner follows the bytes of a connection from one request to the next, and keeps of each header
// what net/http does not report: the names of the fields as they were written, and whether there
// was a Content-Length or a Transfer-Encoding that net/http drops. Header and body alternate:
//
//	POST / HTTP/1.1          atRequest, then atRest to the end of the line
//	Content-Length: 2        atField, atName, atLength; other values atRest
//	                         an empty line: the header is kept, and its length or coding says
//	{}                       atBody, or for a chunked body atChunk and atBody in turn, then its
//	                         trailer as a header that is not kept
//
// It accepts whatever net/http accepts, and net/http ends the connection where it does not. Should
// both disagree nevertheless, a handler begins with a request of which no header was kept.
type scanner struct {
	mu    sync.Mutex // net/http's watch for a client that leaves may read while a handler begins
	heads []header   // of requests that no handler has begun with
	at    scanState
	then  scanState // behind atRest and atBody

	head    header // the one that is being read
	name    []byte // likewise; no more than maxName of it
	left    int64  // bytes of the body or the chunk still to come
	digits  bool   // of the size of a chunk are over
	trailer bool   // the fields are those of a trailer
}

// scanState is what the next byte belongs to.
type scanState int

const (
	atRequest scanState = iota // the beginning of a request
	atRest                     // a line whose rest does not matter
	atField                    // the beginning of a line of a header
	atName                     // the name of a field
	atLength                   // the value of Content-Length
	atBody                     // bytes that are counted
	atChunk                    // the line with the size of a chunk
	atLost                     // none is known any more
)

const (
	maxName  = 64      // longer names are cut
	maxNames = 1 << 10 // of one header, all together
	// usualNames has room for the names of a request of Claude Code.
	usualNames = 320
	maxSize    = 1 << 50 // a larger body is not followed
)

// header is what is kept of one.
type header struct {
	names            []byte // each with a line end
	lengths, codings int    // fields Content-Length and Transfer-Encoding
}

// next is the header of the request that a handler begins with; ok is false if it is not known.
func (s *scanner) next() (h header, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heads) == 0 {
		s.at = atLost
		return header{}, false
	}
	h = s.heads[0]
	s.heads = slices.Delete(s.heads, 0, 1)
	return h, true
}

// misframed reports whether r has a Content-Length or a Transfer-Encoding that net/http dropped
// without a word: a Content-Length beside a Transfer-Encoding, and a Transfer-Encoding in HTTP/1.0.
// RFC 9112 §6.1 takes the framing of both for faulty and wants the connection closed.
func (h *header) misframed(r *http.Request) bool {
	if r.ProtoAtLeast(1, 1) {
		return len(r.TransferEncoding) > 0 && h.lengths > 0
	}
	return h.codings > 0
}

// scan looks at the next bytes from the client.
func (s *scanner) scan(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 && s.at != atLost {
		switch s.at {
		case atRest:
			end := bytes.IndexByte(p, '\n')
			if end < 0 {
				return
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
}

// step looks at one byte.
func (s *scanner) step(c byte) {
	switch s.at {
	case atRequest:
		if c != '\r' && c != '\n' { // net/http drops empty lines behind a POST
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
		s.at, s.then = atRest, atField // the line before goes on
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

// readChunk reads the size of a chunk, and behind it an extension that does not matter (RFC 9112
// §7.1). Each chunk ends with a line end of its own.
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
