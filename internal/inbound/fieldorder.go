package inbound

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"sync/atomic"
)

// FieldOrder is the sequence of the field names in one request header, with their spelling. HTTP
// gives neither a meaning (RFC 9110 §5.1, §5.3), so net/http does not report them, but a program
// writes them the same way each time, and a proxy that sends the request again writes them its own
// way. The zero FieldOrder is one that is not known.
type FieldOrder struct {
	names [maxFieldNames]fieldName
	n     int
}

// maxFieldNames is more than clients of the API send. What comes after them is not kept.
const maxFieldNames = 32

// fieldName is a hash of a name: 24 bits without regard to case, 8 bits of its spelling.
type fieldName uint32

func (f fieldName) folded() fieldName { return f >> 8 }

// add appends a name, if there is room.
func (o *FieldOrder) add(name fieldName) {
	if o.n < len(o.names) {
		o.names[o.n] = name
		o.n++
	}
}

// Differs reports whether the names that both have stand in another order or are spelled another
// way. It is false where either is not known.
func (o *FieldOrder) Differs(other *FieldOrder) bool {
	if o.n == 0 || other.n == 0 {
		return false
	}
	return o.common(other) != other.common(o)
}

// common is o without the names that other lacks.
func (o *FieldOrder) common(other *FieldOrder) (kept FieldOrder) {
	for _, name := range o.names[:o.n] {
		if other.has(name) {
			kept.add(name)
		}
	}
	return kept
}

func (o *FieldOrder) has(name fieldName) bool {
	for _, n := range o.names[:o.n] {
		if n.folded() == name.folded() {
			return true
		}
	}
	return false
}

// fieldScanner learns the order of field names from the bytes of a connection. It follows
// Content-Length to find where each header begins. Behind a chunked body it gives up: the order of
// the later requests on that connection is not known.
type fieldScanner struct {
	// Headers are kept in turn, so that the goroutine that handles a request can read its order
	// while net/http's watch for a client that leaves reads one byte of the next.
	orders [2]FieldOrder
	whole  atomic.Uint64 // headers that were seen to their end

	at      scanPlace
	name    [maxFieldName]byte // the beginning of the current name
	length  int                // how much of name is known
	lengths int                // Content-Length fields in this header
	coded   bool               // it has a Transfer-Encoding
	body    int64              // bytes of the body still to come

	begun uint64 // requests that were handed to a handler; only for next
}

// OrderOf is the order of some names, as in a header.
func OrderOf(names ...string) (o FieldOrder) {
	for _, name := range names {
		var text [maxFieldName]byte
		o.add(hashName(&text, copy(text[:], name)))
	}
	return o
}

// scanPlace is what the next byte belongs to.
type scanPlace int

const (
	atRequest  scanPlace = iota // the beginning of a request
	atRest                      // a line whose rest does not matter
	atLine                      // the beginning of a line
	atName                      // a field name
	atLength                    // the value of Content-Length
	atBody                      // a body of known length
	atNowhere                   // it is not known any more
	maxBodyLen = 1 << 50        // a larger Content-Length is not followed
)

// scan looks at the next bytes from the client.
func (s *fieldScanner) scan(p []byte) {
	for len(p) > 0 && s.at != atNowhere {
		switch s.at {
		case atRequest:
			*s.current() = FieldOrder{}
			s.lengths, s.coded, s.body, s.at = 0, false, 0, atRest
		case atRest:
			p = s.skipLine(p)
		case atLine:
			p = s.beginLine(p)
		case atName:
			p = s.readName(p)
		case atLength:
			p = s.readLength(p)
		default:
			p = s.skipBody(p)
		}
	}
}

// current is where the header that is being read is kept.
func (s *fieldScanner) current() *FieldOrder { return &s.orders[(s.whole.Load()+1)%2] }

// next is the order of the next request that is handed to a handler. It must be called before the
// body of that request is read.
func (s *fieldScanner) next() FieldOrder {
	s.begun++
	if s.whole.Load() != s.begun {
		return FieldOrder{} // lost, or a pipelined request was read, too
	}
	return s.orders[s.begun%2]
}

func (s *fieldScanner) skipLine(p []byte) []byte {
	_, rest, ended := bytes.Cut(p, []byte{'\n'})
	if ended {
		s.at = atLine
	}
	return rest
}

func (s *fieldScanner) beginLine(p []byte) []byte {
	switch p[0] {
	case '\r':
	case '\n':
		s.endHeader()
	case ' ', '\t':
		s.at = atRest // the line before goes on
	default:
		s.name, s.length, s.at = [maxFieldName]byte{}, 0, atName
		return p
	}
	return p[1:]
}

// maxFieldName is how much of a name counts. It is a multiple of 8.
const maxFieldName = 48

func (s *fieldScanner) readName(p []byte) []byte {
	name, rest, whole := bytes.Cut(p, []byte{':'})
	if bytes.IndexByte(name, '\n') >= 0 {
		s.at = atNowhere // net/http refuses it
		return nil
	}
	s.length += copy(s.name[s.length:], name)
	if whole {
		s.endName()
	}
	return rest
}

// endName leaves out the names that a program may put in another place from one request to the
// next: they are about the connection and the body.
func (s *fieldScanner) endName() {
	s.at = atRest
	switch {
	case s.isNamed("content-length"):
		s.lengths++
		s.at = atLength
	case s.isNamed("transfer-encoding"):
		s.coded = true
	case s.isNamed("connection"), s.isNamed("expect"):
	default:
		s.current().add(hashName(&s.name, s.length))
	}
}

func (s *fieldScanner) isNamed(name string) bool {
	return s.length == len(name) && bytes.EqualFold(s.name[:s.length], []byte(name))
}

// hashName hashes eight bytes at a time. It need not resist anybody: who has two names collide only
// keeps his own request from being recognized.
func hashName(name *[maxFieldName]byte, length int) fieldName {
	const (
		factor   = 0x9e3779b97f4a7c15
		caseBits = 0x2020202020202020 // of letters; in other characters of a name they tell little
	)
	var folded, spelled uint64
	for i := 0; i < length; i += 8 {
		word := binary.LittleEndian.Uint64(name[i:])
		spelled = bits.RotateLeft64((spelled^word)*factor, 29)
		folded = bits.RotateLeft64((folded^(word|caseBits))*factor, 29)
	}
	return fieldName(folded*factor>>40<<8 | spelled*factor>>56)
}

func (s *fieldScanner) readLength(p []byte) []byte {
	for i, c := range p {
		switch {
		case c == '\n':
			s.at = atLine
			return p[i+1:]
		case '0' <= c && c <= '9' && s.body < maxBodyLen:
			s.body = 10*s.body + int64(c-'0')
		case c != ' ' && c != '\t' && c != '\r':
			s.at = atNowhere
			return nil
		}
	}
	return nil
}

func (s *fieldScanner) endHeader() {
	s.whole.Add(1)
	switch {
	case s.coded || s.lengths > 1:
		s.at = atNowhere
	case s.body > 0:
		s.at = atBody
	default:
		s.at = atRequest
	}
}

func (s *fieldScanner) skipBody(p []byte) []byte {
	n := min(s.body, int64(len(p)))
	if s.body -= n; s.body == 0 {
		s.at = atRequest
	}
	return p[n:]
}
