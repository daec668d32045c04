package proxy

import (
	"mime"
	"net/http"
)

// isPlainEventStream: server-sent events into which we can write an event, as they are neither
// compressed nor of a length that is announced.
func isPlainEventStream(h http.Header) bool {
	if len(h["Content-Encoding"]) > 0 || len(h["Content-Length"]) > 0 {
		return false
	}
	mediaType, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && mediaType == "text/event-stream"
}

// sseTail knows whether a stream of events stands between two of them: at its start or behind an
// empty line, where a line ends with LF, CR or both
// (https://html.spec.whatwg.org/multipage/server-sent-events.html, parsing).
type sseTail struct {
	begun bool
	last  byte
	blank bool // the current line is empty so far, and so was the whole one before it
	line  bool // the current line has something in it
}

// write looks at the next bytes of the stream. Only line ends matter, so only the last few bytes
// do.
func (t *sseTail) write(p []byte) {
	if len(p) > 4 {
		*t = sseTail{begun: true, last: 'x', line: true} // what came before cannot matter
		p = p[len(p)-4:]
	}
	for _, c := range p {
		t.step(c)
	}
}

func (t *sseTail) step(c byte) {
	switch {
	case c == '\n' && t.last == '\r': // the rest of a line end
	case c == '\n', c == '\r':
		t.blank = !t.line
		t.line = false
	default:
		t.blank, t.line = false, true
	}
	t.begun, t.last = true, c
}

// atBoundary reports whether an event can begin here.
func (t *sseTail) atBoundary() bool {
	return !t.begun || t.blank
}

// errorEvent is one event with data, which holds no line end.
func errorEvent(data []byte) []byte {
	event := append([]byte("event: error\ndata: "), data...)
	return append(event, "\n\n"...)
}
