package proxy

import (
	"bytes"
	"net/http"
	"strings"
	"sync/atomic"
)

// The values of [Trace.Stream]. Events of a compressed stream cannot be seen.
const (
	StreamEvents     = "events"
	StreamCompressed = "compressed"
)

// streamKind returns the kind of a response, or "" if it is not a stream of events.
func streamKind(h http.Header) string {
	switch {
	case mediaType(h) != "text/event-stream":
		return ""
	case len(h["Content-Encoding"]) > 0:
		return StreamCompressed
	default:
		return StreamEvents
	}
}

// mediaType returns the Content-Type without parameters, in lower case.
func mediaType(h http.Header) string {
	text, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(text))
}

// lineHead is how many bytes of a line are kept: one more than the longest name of interest needs.
const lineHead = len("event: message_start") + 1

// eventScanner reads the framing of a stream of events: field names, names of events, and empty
// lines. A line ends with LF, CR or both. A byte order mark is taken for a part of the first line
// (https://html.spec.whatwg.org/multipage/server-sent-events.html, parsing).
type eventScanner struct {
	head [lineHead]byte // of the current line
	n    int            // bytes in head
	cr   bool           // the last byte was a CR; its LF may follow

	open, data bool   // the current event has a line, has data
	name       []byte // of the current event; a long one is cut
	failing    bool   // the last event with data was named error
	unfinished bool   // a message_start came, and no message_stop
}

// write reads the next piece and counts the events that end in it. pings are the events that are
// named ping or have no data, such as comments and further empty lines.
func (s *eventScanner) write(p []byte) (data, pings int) {
	ends := "\n"
	if bytes.IndexByte(p, '\r') >= 0 {
		ends = "\r\n"
	}
	for len(p) > 0 {
		if s.cr && p[0] == '\n' {
			p, s.cr = p[1:], false
			continue
		}
		s.cr = false
		end := bytes.IndexAny(p, ends)
		if end < 0 {
			s.n += copy(s.head[s.n:], p)
			break
		}
		s.n += copy(s.head[s.n:], p[:end])
		p, s.cr = p[end+1:], p[end] == '\r'
		switch {
		case s.n > 0:
			s.field()
		case s.open && s.data && string(s.name) != "ping":
			data++
			s.open, s.failing = false, string(s.name) == "error"
			s.unfinished = (s.unfinished || string(s.name) == "message_start") && string(s.name) != "message_stop"
		default:
			pings++
			s.open = false
		}
	}
	return data, pings
}

// field reads the line in head.
func (s *eventScanner) field() {
	if !s.open {
		s.open, s.data, s.name = true, false, s.name[:0]
	}
	name, value, _ := bytes.Cut(s.head[:s.n], []byte(":"))
	switch string(name) {
	case "data":
		s.data = true
	case "event":
		s.name = append(s.name[:0], bytes.TrimPrefix(value, []byte(" "))...)
	}
	s.n = 0
}

// atBoundary reports whether an event can begin here: at the start or after an empty line.
func (s *eventScanner) atBoundary() bool { return !s.open && s.n == 0 }

// eventCounts counts the events of a stream. Its exchange writes it, and others read it.
type eventCounts struct {
	data, pings    atomic.Uint64
	dataAt, pingAt atomic.Int64 // of the latest, in nanoseconds since the start of the request
}

func (c *eventCounts) add(data, pings int, at int64) {
	if data > 0 {
		c.data.Add(uint64(data))
		c.dataAt.Store(at)
	}
	if pings > 0 {
		c.pings.Add(uint64(pings))
		c.pingAt.Store(at)
	}
}
