package inbound

import (
	"bytes"
	"net/http"
	"sync/atomic"
)

// framing watches the bytes of a connection for header lines that net/http
// drops without a word: a Content-Length beside a Transfer-Encoding, and a
// Transfer-Encoding in HTTP/1.0. RFC 9112 §6.1 takes the framing of both for faulty
// and wants the connection closed.
//
// It parses nothing. It counts the lines that begin with these names and compares
// the count with the requests that net/http reports to have had them. A line in a
// body counts too, after the first request: then a connection may close that need
// not, which harms nobody.
type framing struct {
	line  [len(codingField)]byte // how the current line begins
	n     int                    // how much of line is known; all of it: the rest does not matter
	ended bool                   // the first header

	first, all fieldCounts // lines seen in the first header, and in all

	// What net/http told of; only for check.
	requests, lengths, codings int64
}

// fieldCounts counts lines. They are written where the connection is read and read
// where a request is handled.
type fieldCounts struct{ lengths, codings atomic.Int64 }

const (
	lengthField = "content-length:"
	codingField = "transfer-encoding:"
)

// scan looks at the next bytes from the client.
func (f *framing) scan(p []byte) {
	for len(p) > 0 {
		if f.n == len(f.line) {
			end := bytes.IndexByte(p, '\n')
			if end < 0 {
				return
			}
			p, f.n = p[end+1:], 0
			continue
		}
		f.step(p[0])
		p = p[1:]
	}
}

// step looks at one byte of the beginning of a line.
func (f *framing) step(c byte) {
	if c == '\n' {
		if f.n == 0 || f.n == 1 && f.line[0] == '\r' {
			f.ended = true
		}
		f.n = 0
		return
	}
	f.line[f.n] = c
	f.n++
	switch lower := c | 0x20; {
	case f.n == 1 && c != '\r' && lower != lengthField[0] && lower != codingField[0]:
		f.n = len(f.line)
	case f.n == len(lengthField) && bytes.EqualFold(f.line[:f.n], []byte(lengthField)):
		f.count(func(c *fieldCounts) { c.lengths.Add(1) })
	case f.n == len(codingField) && bytes.EqualFold(f.line[:], []byte(codingField)):
		f.count(func(c *fieldCounts) { c.codings.Add(1) })
	}
}

func (f *framing) count(add func(*fieldCounts)) {
	add(&f.all)
	if !f.ended {
		add(&f.first)
	}
}

// check compares what was seen with what net/http says of the next request of the
// connection. unreported: it has a Content-Length or Transfer-Encoding that is not
// in r.
func (f *framing) check(r *http.Request) (unreported bool) {
	if len(r.Header["Content-Length"]) > 0 {
		f.lengths++
	}
	if len(r.TransferEncoding) > 0 {
		f.codings++
	}
	seen := &f.all
	if f.requests++; f.requests == 1 {
		seen = &f.first
	}
	if r.ProtoAtLeast(1, 1) {
		return len(r.TransferEncoding) > 0 && seen.lengths.Load() > f.lengths
	}
	return seen.codings.Load() > f.codings
}
