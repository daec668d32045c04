package inbound

import (
	"bytes"
	"net/http"
	"sync"
)

const (
	maxName  = 64      // longer names are cut
	maxNames = 1 << 10 // all names of one header together
)

// header is what net/http does not report of a header.
type header struct {
	names            []byte // as the client wrote them, each with a line end
	lengths, codings int    // how many Content-Length and Transfer-Encoding fields; net/http drops some
	whole            bool   // its end has come
}

// headerReader reads the next header of a connection beside net/http.
//
// What comes between two requests is the start of a header, and so is the single byte that net/http
// reads after a body to notice a client that leaves. A header that comes together with the body
// before it, because the client does not wait for responses, is not known.
type headerReader struct {
	mu      sync.Mutex // net/http may read the single byte while a handler begins
	header  header
	line    []byte // the start of the line that is being read
	started bool   // the request line was read
	busy    bool   // a request is being served, so that what comes is a body
}

// add takes bytes from the client. single says that net/http asked for one byte.
func (h *headerReader) add(p []byte, single bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy = h.busy && !single; h.busy {
		return
	}
	for line := range bytes.Lines(p) {
		h.line = append(h.line, line[:min(len(line), maxName-len(h.line))]...)
		if line[len(line)-1] == '\n' {
			h.endLine(bytes.TrimRight(h.line, "\r\n"))
			h.line = h.line[:0]
		}
	}
}

func (h *headerReader) endLine(line []byte) {
	name, _, _ := bytes.Cut(line, []byte(":"))
	switch {
	case h.header.whole: // behind it is a body, or another request
	case len(line) == 0:
		h.header.whole = h.started // net/http skips empty lines after a POST
	case !h.started:
		h.started = true
	case line[0] != ' ' && line[0] != '\t': // otherwise it continues the line before
		h.header.addField(name)
	}
}

func (h *header) addField(name []byte) {
	switch {
	case bytes.EqualFold(name, []byte("content-length")):
		h.lengths++
	case bytes.EqualFold(name, []byte("transfer-encoding")):
		h.codings++
	}
	if len(h.names)+len(name) < maxNames {
		h.names = append(append(h.names, name...), '\n')
	}
}

// idle says that no request is being served.
func (h *headerReader) idle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy = false
}

// pending reports whether a whole header was read that no handler has taken yet.
func (h *headerReader) pending() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.header.whole
}

// next takes the header of the request that a handler is about to serve.
func (h *headerReader) next() header {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := h.header
	h.header, h.line, h.started, h.busy = header{}, nil, false, true
	return next
}

// misframed reports whether net/http silently dropped a framing field of r: a Content-Length beside
// a Transfer-Encoding, or a Transfer-Encoding in HTTP/1.0. RFC 9112 §6.1 calls such framing faulty
// and wants the connection closed.
func (h *header) misframed(r *http.Request) bool {
	if r.ProtoAtLeast(1, 1) {
		return len(r.TransferEncoding) > 0 && h.lengths > 0
	}
	return h.codings > 0
}
