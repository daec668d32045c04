package proxy

import (
	"crypto/rand"
	"net/http"
	"strings"
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

// tokenPrefix begins all of Anthropic's tokens and keys.
const tokenPrefix = "sk-ant-"

// sessionID returns the ID of the Claude Code session, a UUID so far. It returns "" for a value
// that cannot be an ID, because the client may have put a name or a token there.
func sessionID(h http.Header) string {
	const most = 64
	id := h.Get("X-Claude-Code-Session-Id")
	if len(id) > most || strings.Trim(id, alphanumeric+"-_") != "" || strings.Contains(id, tokenPrefix) {
		return ""
	}
	return strings.Clone(id)
}

// masked returns text with "sk-ant-…" in place of each token. A token ends at a slash or a blank.
func masked(text string) string {
	before, token, found := strings.Cut(text, tokenPrefix)
	if !found {
		return text
	}
	after := ""
	if end := strings.IndexAny(token, "/ "); end >= 0 {
		after = masked(token[end:])
	}
	return before + tokenPrefix + "…" + after
}

// traceID returns the trace ID of the request's traceparent (W3C Trace Context, level 2, §3.2), or
// "" without a valid one. It is random and identifies nobody.
func traceID(h http.Header) string {
	const whole = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if len(h["Traceparent"]) != 1 {
		return ""
	}
	text := h["Traceparent"][0]
	if len(text) > whole && (text[:2] == "00" || text[whole] != '-') || len(text) < whole {
		return ""
	}
	parts := strings.SplitN(text[:whole], "-", 5)
	if len(parts) != 4 || len(parts[0]) != 2 || len(parts[1]) != 32 || len(parts[2]) != 16 || parts[0] == "ff" {
		return ""
	}
	for i, part := range parts {
		notHex, zeros := strings.Trim(part, "0123456789abcdef"), strings.Trim(part, "0") == ""
		if notHex != "" || zeros && (i == 1 || i == 2) {
			return ""
		}
	}
	return strings.Clone(parts[1])
}
