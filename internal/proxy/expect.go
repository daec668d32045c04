package proxy

import (
	"maps"
	"net/http"
)

// Expect: 100-continue asks the server to say first whether it wants the body (RFC 9110 §10.1.1).
// The upstream decides, so nothing may read the body before: net/http sends the client a 100 at the
// first read.
//
//	client      proxy                                              upstream
//	  header →  beginBody does nothing; admit; rewrite keeps it
//	            attempt sends the header                           →
//	            informational drops the 100                        ← 100
//	            the transport reads the body, now or after a second
//	            without the 100: attemptBody.Read starts readAhead,
//	   100 ←    which calls inform
//	  body →    attemptBody.Read                                   → body
//
// A final response may come instead of the 100, or a refusal of our own. Then the body is not read:
// leaveBody makes net/http write the header without it, and attempt has told the transport, with
// out.Close, not to ask for it.

// awaitsContinue reports whether the client may wait for a 100 before it sends the body. net/http
// has refused other expectations.
func (x *exchange) awaitsContinue() bool {
	return x.in.Header.Get("Expect") != "" && x.in.ProtoAtLeast(1, 1)
}

// informational passes 1xx responses on, except for two: 100 makes the transport read the body,
// whose reader then sends our own. HTTP/2 has no 101 (RFC 9113 §8.6), and net/http would send it as
// the final response.
func (x *exchange) informational(code int, header http.Header) {
	if code != http.StatusContinue && code != http.StatusSwitchingProtocols && x.in.ProtoAtLeast(1, 1) {
		x.inform(code, header)
	}
}

// inform sends a 1xx response with only this header, unless the final response has begun. Any
// goroutine may call it.
func (x *exchange) inform(code int, header http.Header) {
	x.headerMu.Lock()
	defer x.headerMu.Unlock()
	if x.responded {
		return
	}
	h := x.w.Header()
	final := maps.Clone(h)
	clear(h)
	maps.Copy(h, header)
	dropHopByHop(h)
	x.w.WriteHeader(code)
	clear(h)
	maps.Copy(h, final)
}

// leaveBody stops reading a body after an Expect, before the header of a final response is written;
// see leaveRest.
func (x *exchange) leaveBody() {
	if x.body != nil && x.awaitsContinue() {
		x.body.leaveRest()
	}
}
