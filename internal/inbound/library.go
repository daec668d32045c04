package inbound

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
)

// Unquoted removes the quoted strings of an error text, in which net/http shows bytes of a request
// or a response.
func Unquoted(text string) string {
	return regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*(?:"|\\?$)`).ReplaceAllString(text, `"…"`)
}

// libraryTooLarge is the start of the response that net/http itself sends to a request whose header
// is larger than [http.Server.MaxHeaderBytes]. The prefix ends with the header's blank line, so any
// response with one more field, such as X-Request-Id, differs.
const libraryTooLarge = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// writeTooLarge sends our own 431 in place of p, net/http's, so that the client learns who refused
// its request, and the log has a line about it.
func (c *Conn) writeTooLarge(p []byte) (int, error) {
	c.HeaderTooLarge = true
	refusal := c.server.refusal(c)
	c.LeaveUnread() // the rest of the header is still on its way
	if _, err := c.Conn.Write(refusal); err != nil {
		return 0, err
	}
	return len(p), nil
}

// refusal returns the handler's response to a request of c, of which the header was not read. The
// handler refuses, counts and logs it like any request.
func (s *Server) refusal(c *Conn) []byte {
	ctx := context.WithValue(s.base, connKey{}, c)
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, c.LocalAddr())
	r := (&http.Request{
		URL: &url.URL{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, RemoteAddr: c.RemoteAddr().String(), Close: true,
	}).WithContext(ctx)
	w := &refusalWriter{header: http.Header{}}
	s.handler.ServeHTTP(w, r)
	response := http.Response{
		StatusCode: w.status, ProtoMajor: 1, ProtoMinor: 1, Header: w.header, Close: true,
		ContentLength: int64(w.body.Len()), Body: io.NopCloser(&w.body),
	}
	var text bytes.Buffer
	_ = response.Write(&text) // a buffer takes all of it
	return text.Bytes()
}

// refusalWriter keeps a response in memory.
type refusalWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *refusalWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *refusalWriter) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *refusalWriter) Write(p []byte) (int, error) { return w.body.Write(p) }
