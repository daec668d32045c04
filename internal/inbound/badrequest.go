package inbound

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// BadRequest says why net/http refused a request before a handler had it.
type BadRequest struct {
	Status int
	Reason string // a constant of net/http, or what the status means; never bytes of the request
	TLS    bool   // the connection began like TLS
}

// badRequest parses p, a response of net/http's own; nil if p is not a response. Its body is the
// reason, which may follow the status and a colon. A 417 has no body.
func (c *Conn) badRequest(p []byte) *BadRequest {
	header, reason, _ := strings.Cut(string(p), "\r\n\r\n")
	words := strings.Fields(header)
	if len(words) < 2 {
		return nil
	}
	status, err := strconv.Atoi(words[1])
	if err != nil {
		return nil
	}
	if _, after, ok := strings.Cut(reason, ": "); ok {
		reason = after
	} else if status == http.StatusBadRequest {
		reason = "malformed request line or header" // net/http only repeats the status
	}
	return &BadRequest{
		Status: status, Reason: cmp.Or(reason, http.StatusText(status)), TLS: c.first == tlsHandshake,
	}
}

// tlsHandshake is the first byte of a TLS connection (RFC 8446 §5.1).
const tlsHandshake = 0x16

// writeRefusal sends our own refusal in place of p, net/http's, so that the client learns who
// refused its request, and the log has a line about it. A client whose header ends or stalls
// half-way gets p: it has sent no request.
func (c *Conn) writeRefusal(p []byte) (int, error) {
	c.BadRequest = c.badRequest(p)
	if c.BadRequest == nil || c.starved.Load() {
		return c.Conn.Write(p)
	}
	refusal := c.server.refusal(c)
	c.LeaveUnread() // the rest of the request may still be on its way
	if _, err := c.Conn.Write(refusal); err != nil {
		return 0, err
	}
	return len(p), nil
}

// refusal returns the handler's response to a request of c, which net/http refuses. The handler
// refuses, counts and logs it like any request.
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

// refusalWriter is an http.ResponseWriter that keeps the response in memory.
type refusalWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *refusalWriter) Header() http.Header         { return w.header }
func (w *refusalWriter) WriteHeader(status int)      { w.status = status }
func (w *refusalWriter) Write(p []byte) (int, error) { return w.body.Write(p) }
