package fakeupstream

import (
	"net/http"
	"strconv"
)

const (
	announcedTrailer   = "X-Message-Id"
	unannouncedTrailer = "X-Output-Tokens"
)

// announceTrailers says what will come after the body (RFC 9110 §6.6.2).
func (x *exchange) announceTrailers() { x.w.Header().Set("Trailer", announcedTrailer) }

// setTrailers gives the trailer fields (RFC 9110 §6.5): one that was announced
// and one that was not, which is allowed and easily lost on the way.
func (s script) setTrailers(x *exchange) {
	h := x.w.Header()
	h.Set(announcedTrailer, s.messageID)
	h.Set(http.TrailerPrefix+unannouncedTrailer, strconv.Itoa(s.deltas))
}
