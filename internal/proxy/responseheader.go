package proxy

import (
	"maps"
	"net/http"
	"strings"
)

// checkStatus refuses a response whose status is not a final one (RFC 9110 §15).
func checkStatus(status int) error {
	if status < http.StatusOK || status > 999 {
		return fail(CodeUpstreamProtocol, nil, "the upstream sent status %d, which is not a final status", status)
	}
	return nil
}

// hasNoBody reports whether a response never has a body (RFC 9110 §6.4.1).
func hasNoBody(method string, status int) bool {
	return method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
}

// copyResponseHeader copies the response's header, without fields that concern only the connection
// to the upstream, and without Alt-Svc, which is about the upstream's origin (RFC 7838 §3).
// net/http adds a missing Date (RFC 9110 §6.6.1). An empty Content-Type keeps net/http from
// guessing one.
func copyResponseHeader(h http.Header, response *http.Response) {
	dropHopByHop(response.Header)
	maps.Copy(h, response.Header)
	delete(h, "Alt-Svc")
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil
	}
	for name := range response.Trailer {
		if mayTrail(name) {
			h["Trailer"] = append(h["Trailer"], name)
		}
	}
}

// adaptToHTTP1 adapts the header so that net/http drops nothing over HTTP/1.1.
func adaptToHTTP1(h http.Header, response *http.Response) {
	if len(response.Trailer) > 0 {
		delete(h, "Content-Length") // trailers need chunks (RFC 9112 §7.1.2); HTTP/2 has both
	}
	if response.StatusCode != http.StatusNotModified {
		return
	}
	// A 304 may describe the resource that is not sent (RFC 9110 §15.4.5). net/http keeps these
	// fields only under names that are not canonical.
	for _, name := range []string{"Content-Type", "Content-Length"} {
		if values := h[name]; len(values) > 0 {
			h[strings.ToLower(name)] = values
			delete(h, name)
		}
	}
}
