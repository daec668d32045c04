package labapi

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// faultAfter is the number of deltas that a stream sends before its fault.
const faultAfter = 2

// faultyWriter does to a response what the model asks for. It gets each event in a Write of its
// own, and a message that is not streamed in one.
type faultyWriter struct {
	http.ResponseWriter
	request  *http.Request
	fault    string // the model; empty: none
	compress bool
	slow     bool // a pause before each event but the first

	begun  bool
	deltas int
	ended  bool // the rest is dropped
	zip    *gzip.Writer
}

// Unwrap is for http.ResponseController.
func (w *faultyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *faultyWriter) WriteHeader(status int) {
	if w.compress && status == http.StatusOK {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Del("Content-Length")
		w.zip = gzip.NewWriter(w.ResponseWriter)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *faultyWriter) Write(p []byte) (int, error) {
	streamed := bytes.HasPrefix(p, []byte("event: "))
	if w.slow && w.begun {
		time.Sleep(slowInterval)
	}
	w.begun = true
	switch {
	case w.ended:
		return len(p), nil
	case w.zip != nil:
		return w.zip.Write(p)
	case w.fault != "" && !streamed:
		w.send(p[:len(p)/2])
		w.cut()
	case w.fault != "" && w.deltas == faultAfter:
		w.cut()
		return len(p), nil
	case bytes.HasPrefix(p, []byte("event: content_block_delta\n")):
		w.deltas++
	}
	return w.ResponseWriter.Write(p)
}

// FlushError is for http.ResponseController.
func (w *faultyWriter) FlushError() error {
	if w.zip != nil {
		if err := w.zip.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// cut does what the model says. It returns only if a clean end is to follow.
func (w *faultyWriter) cut() {
	switch w.fault {
	case "stall":
		<-w.request.Context().Done()
	case "error-mid-stream":
		w.send(fmt.Appendf(nil, "event: error\ndata: %s\n\n", overloaded().JSON(w, w.request)))
		w.ended = true
		return
	}
	panic(http.ErrAbortHandler)
}

// send writes past the fault.
func (w *faultyWriter) send(p []byte) {
	if _, err := w.ResponseWriter.Write(p); err != nil || w.FlushError() != nil {
		panic(http.ErrAbortHandler)
	}
}

// end completes a compressed response.
func (w *faultyWriter) end() {
	if w.zip != nil {
		_ = w.zip.Close() // the client may have left
	}
}

// acceptsGzip reports whether Accept-Encoding has gzip by name, and not with weight 0 (RFC 9110
// §12.5.3).
func acceptsGzip(h http.Header) bool {
	for coding := range strings.SplitSeq(strings.Join(h["Accept-Encoding"], ","), ",") {
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
