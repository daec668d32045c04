package selftest

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"strings"
	"sync"

	"oauth-proxyd/internal/fakeupstream"
)

// witness stands at the upstream and notes what is received and sent there.
type witness struct {
	// header is added to each answer. To be set before the first request.
	header http.Header
	// paced, if not nil, holds back each piece of an answer until the client has
	// told here that it has the one before. To be set before the first request.
	paced chan struct{}

	mu    sync.Mutex
	seen  []*sighting
	count int // with those that are forgotten
}

// sighting is one request at the upstream. Its fields are to be read once ended is
// closed.
type sighting struct {
	received fakeupstream.Request
	status   int
	header   http.Header // of the answer
	trailer  http.Header
	body     bytes.Buffer // of the answer
	left     bool         // the client went away before the answer's end
	ended    chan struct{}
}

func newWitness() *witness { return &witness{} }

// wrap is for fakeupstream.Config.
func (w *witness) wrap(api http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s := w.begin()
		tee := &teeWriter{ResponseWriter: rw, to: s, gone: r.Context().Done(), paced: w.paced}
		maps.Copy(rw.Header(), w.header)
		defer s.end(r.Context(), rw.Header()) // also of an answer that is broken off
		api.ServeHTTP(tee, r)
	})
}

func (w *witness) begin() *sighting {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &sighting{ended: make(chan struct{})}
	w.seen = append(w.seen, s)
	w.count++
	return s
}

// observe is for fakeupstream.Config. Requests come one at a time: a second one is
// a fault that is found by their number.
func (w *witness) observe(r fakeupstream.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[len(w.seen)-1].received = r
}

// all are the requests so far.
func (w *witness) all() []*sighting {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// total is the number of requests ever.
func (w *witness) total() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// forget makes room for another request.
func (w *witness) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = nil
}

func (s *sighting) end(ctx context.Context, h http.Header) {
	s.left = ctx.Err() != nil
	s.trailer = make(http.Header)
	for name, values := range h {
		if late, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			s.trailer[late] = values
		}
	}
	for _, name := range s.header["Trailer"] {
		s.trailer[name] = h[name]
	}
	close(s.ended)
}

// teeWriter notes what goes through it.
type teeWriter struct {
	http.ResponseWriter
	to    *sighting
	gone  <-chan struct{}
	paced <-chan struct{}
}

// Unwrap is for http.ResponseController.
func (t *teeWriter) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (t *teeWriter) WriteHeader(status int) {
	t.to.status, t.to.header = status, t.Header().Clone()
	t.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (t *teeWriter) Write(p []byte) (int, error) {
	n, err := t.ResponseWriter.Write(p)
	t.to.body.Write(p[:n])
	return n, err
}

// FlushError is for http.ResponseController.
func (t *teeWriter) FlushError() error {
	if err := http.NewResponseController(t.ResponseWriter).Flush(); err != nil {
		return err
	}
	if t.paced != nil {
		select {
		case <-t.paced:
		case <-t.gone:
		}
	}
	return nil
}
