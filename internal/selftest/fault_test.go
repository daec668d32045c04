package selftest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path"
	"strings"
)

// onRequest is a fault that changes requests before the proxy gets them.
func onRequest(change func(*http.Request)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			change(r)
			next.ServeHTTP(w, r)
		})
	}
}

func replaceBody(r *http.Request, change func([]byte) []byte) {
	body, _ := io.ReadAll(r.Body)
	body = change(body)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
}

func flipBody(r *http.Request) { replaceBody(r, flip) }
func spoilBody(r *http.Request) {
	replaceBody(r, func(b []byte) []byte { return bytes.Repeat([]byte("x"), len(b)) })
}
func shortenBody(r *http.Request) { replaceBody(r, func(b []byte) []byte { return b[:len(b)/2] }) }

func flip(p []byte) []byte {
	p = bytes.Clone(p)
	if len(p) > 0 {
		p[len(p)/2] ^= 1
	}
	return p
}

func cleanTarget(r *http.Request) {
	p, query, _ := strings.Cut(r.RequestURI, "?")
	r.RequestURI = path.Clean(p) + "?" + query
}

func joinLines(r *http.Request) {
	r.Header["X-Selftest-Line"] = []string{strings.Join(r.Header["X-Selftest-Line"], ", ")}
}

func copySpoofed(r *http.Request) { r.Header["X-Copied"] = r.Header["X-Forwarded-For"] }
func uncoded(r *http.Request)     { r.Header.Del("Content-Encoding") }

func plain(r *http.Request)       { r.Header.Del("Accept-Encoding") }
func addHeader(r *http.Request)   { r.Header.Set("X-Added", "1") }
func dropVersion(r *http.Request) { r.Header.Del("Anthropic-Version") }
func changeAccept(r *http.Request) {
	r.Header.Set("Accept", "text/plain")
}

// dropTrailer leaves the server to fill a map that nobody reads.
func dropTrailer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		other := r.Clone(r.Context())
		other.Trailer = nil
		next.ServeHTTP(w, other)
	})
}

func changeCredential(r *http.Request) {
	for _, name := range []string{"Authorization", "X-Api-Key"} {
		if v := r.Header.Get(name); v != "" {
			r.Header.Set(name, v+"x")
		}
	}
}

func dropFeature(r *http.Request) {
	if v := r.Header.Get("Anthropic-Beta"); v != "" {
		r.Header.Set("Anthropic-Beta", strings.Replace(v, "context-management-2025-06-27,", "", 1))
	}
}

// broken is a fault in answers. What is nil is left as it is.
type broken struct {
	status func(int) int
	header func(http.Header)
	body   func([]byte) []byte
	silent bool // nothing before the end
}

func onAnswer(b broken) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			faulty := &faultyWriter{ResponseWriter: w, broken: b}
			next.ServeHTTP(faulty, r)
			_, _ = w.Write(faulty.held.Bytes())
		})
	}
}

type faultyWriter struct {
	http.ResponseWriter
	broken
	held bytes.Buffer
}

func (f *faultyWriter) Unwrap() http.ResponseWriter { return f.ResponseWriter }

func (f *faultyWriter) WriteHeader(status int) {
	if f.header != nil {
		f.header(f.Header())
	}
	if f.status != nil {
		status = f.status(status)
	}
	f.ResponseWriter.WriteHeader(status)
}

func (f *faultyWriter) Write(p []byte) (int, error) {
	if f.silent {
		return f.held.Write(p)
	}
	changed := p
	if f.body != nil {
		changed = f.body(p)
	}
	if _, err := f.ResponseWriter.Write(changed); err != nil {
		return 0, err
	}
	return len(p), nil
}

func drop(name string) func(http.Header) { return func(h http.Header) { h.Del(name) } }

func addOne(h http.Header) { h.Set("X-Added", "1") }

func joinCookies(h http.Header) {
	if lines := h["Set-Cookie"]; len(lines) > 0 {
		h["Set-Cookie"] = []string{strings.Join(lines, ", ")}
	}
}

func as401(int) int { return http.StatusUnauthorized }

func as503(status int) int {
	if status == 529 {
		return http.StatusServiceUnavailable
	}
	return status
}

// without drops each piece that holds the word.
func without(word string) func([]byte) []byte {
	return func(p []byte) []byte {
		if bytes.Contains(p, []byte(word)) {
			return nil
		}
		return p
	}
}

// dropTrailers deletes one when the proxy has set it.
func dropTrailers(name string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			delete(w.Header(), name)
		})
	}
}

// readFirst is a proxy that wants all of a request before it sends any.
func readFirst(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		replaceBody(r, func(b []byte) []byte { return b })
		next.ServeHTTP(w, r)
	})
}

// endCleanly is a proxy to which the end of a connection is that of an answer.
func endCleanly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = recover() }() // of http.ErrAbortHandler
		next.ServeHTTP(w, r)
	})
}

// unaware is a proxy that goes on whether or not its client is there.
func unaware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithoutCancel(r.Context())))
	})
}

// twice is a proxy that sends a request again although it was answered.
func twice(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for range 2 {
			again := r.Clone(context.WithoutCancel(r.Context()))
			again.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(w, again)
		}
	})
}

func abortAfterwards(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		if w.Header().Get("Content-Length") == "" {
			panic(http.ErrAbortHandler)
		}
	})
}
