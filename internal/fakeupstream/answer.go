package fakeupstream

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// respond answers 200 with value as JSON.
func respond(value any) answer {
	return func(x *exchange) { x.writeJSON(http.StatusOK, value) }
}

// abort breaks the connection, or resets the stream of HTTP/2: what a client
// that left, or one that must not see a clean end, gets.
func abort(*exchange) { panic(http.ErrAbortHandler) }

// unreadable is the answer to a body that could not be read.
func unreadable(err error) answer {
	if errors.Is(err, errTooLarge) {
		return tooLarge().write
	}
	return abort
}

// writeJSON sends value with its length. A value of ours always marshals.
func (x *exchange) writeJSON(status int, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		abort(x)
	}
	x.writeBody(status, "application/json", data)
}

func (x *exchange) writeBody(status int, contentType string, data []byte) {
	h := x.w.Header()
	h.Set("Content-Type", contentType)
	if h.Get("Trailer") == "" { // over HTTP/1.1 trailers need chunks (RFC 9112 §7.1.2)
		h.Set("Content-Length", strconv.Itoa(len(data)))
	}
	x.w.WriteHeader(status)
	x.send(data)
}

// send writes and flushes; it does not return if the client is gone.
func (x *exchange) send(data []byte) {
	if _, err := x.w.Write(data); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		abort(x)
	}
	if err := http.NewResponseController(x.w).Flush(); err != nil {
		abort(x)
	}
}

// compressed is data in gzip format. Writing to memory does not fail.
func compressed(data []byte) []byte {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	_, _ = zip.Write(data)
	_ = zip.Close()
	return out.Bytes()
}

// acceptsGzip reads Accept-Encoding (RFC 9110 §12.5.3): gzip by name, and not
// with weight 0. A wildcard is not taken for it.
func acceptsGzip(h http.Header) bool {
	for _, coding := range listed(h, "Accept-Encoding") {
		name, params, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		weight, given := strings.CutPrefix(strings.TrimSpace(params), "q=")
		q, err := strconv.ParseFloat(weight, 64)
		return !given || err == nil && q > 0
	}
	return false
}

// listed joins all lines of a field into the members of one list (RFC 9110
// §5.6.1).
func listed(h http.Header, name string) []string {
	var members []string
	for _, line := range h.Values(name) {
		for member := range strings.SplitSeq(line, ",") {
			if member = strings.TrimSpace(member); member != "" {
				members = append(members, member)
			}
		}
	}
	return members
}
