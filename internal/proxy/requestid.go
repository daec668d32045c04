package proxy

import (
	"crypto/rand"
	"net/http"
	"strings"

	"oauth-proxyd/internal/config"
)

// requestIDHeader is x-request-id in canonical form, which carries a request's ID to every log on
// the request path.
const requestIDHeader = "X-Request-Id"

const (
	requestIDPrefix = "req_"
	requestIDLength = len(requestIDPrefix) + 26
)

// requestID returns the client's ID if it is well-formed, and otherwise a new one: "req_" and 26
// letters and digits, 130 random bits (RFC 4648 §6).
func requestID(h http.Header) string {
	if ids := h[requestIDHeader]; len(ids) == 1 && wellFormedRequestID(ids[0]) {
		return ids[0]
	}
	return requestIDPrefix + rand.Text()
}

// alphanumeric has the characters of an ID that needs no escape anywhere.
const alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// wellFormedRequestID reports whether id has the form of our own IDs, and so is safe to log.
func wellFormedRequestID(id string) bool {
	name, ok := strings.CutPrefix(id, requestIDPrefix)
	return ok && len(id) == requestIDLength && strings.Trim(name, alphanumeric) == ""
}

// NameResponse sets the x-request-id of a response that no [Proxy] makes.
func NameResponse(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(requestIDHeader, requestID(r.Header))
}

// sessionHeader has the ID of the Claude Code session.
const sessionHeader = "X-Claude-Code-Session-Id"

// sessionID returns the ID of the Claude Code session, a UUID so far. It returns "" for a value
// that cannot be an ID, because the client may have put a name or a token there.
func sessionID(h http.Header) string {
	const most = 64
	id := h.Get(sessionHeader)
	if len(id) > most || strings.Trim(id, alphanumeric+"-_") != "" || config.LooksSecret(id) {
		return ""
	}
	return strings.Clone(id)
}

// traceID returns the trace ID of the request's traceparent (W3C Trace Context, level 2, §3.2), or
// "" without one. It is random and identifies nobody.
func traceID(h http.Header) string {
	_, rest, _ := strings.Cut(h.Get("Traceparent"), "-") // the version
	id, _, _ := strings.Cut(rest, "-")
	if len(h["Traceparent"]) != 1 || len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" || strings.Trim(id, "0") == "" {
		return ""
	}
	return strings.Clone(id)
}
