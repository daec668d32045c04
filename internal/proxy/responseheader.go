package proxy

import (
	"net/http"
	"strings"
)

// checkStatus refuses a response that cannot be passed on, as its status is not that of a final
// response (RFC 9110 §15).
func checkStatus(status int) error {
	if status < http.StatusOK || status > 999 {
		return fail(CodeUpstreamProtocol, nil, "the upstream sent status %d, which is not a final one", status)
	}
	return nil
}

// hasNoBody: RFC 9110 §6.4.1.
func hasNoBody(method string, status int) bool {
	return method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
}

// copyResponseHeader copies all but what concerns only the connection to the upstream, and Alt-Svc,
// which speaks of the upstream's origin and not of ours (RFC 7838 §3). net/http adds a Date where
// there is none (RFC 9110 §6.6.1). It would guess a Content-Type, too, if its key were not there.
func copyResponseHeader(h http.Header, response *http.Response) {
	for _, name := range listedIn(response.Header["Connection"]) {
		delete(response.Header, name)
	}
	for name, values := range response.Header {
		if !isHopByHop(name) && name != "Alt-Svc" {
			h[name] = values
		}
	}
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil
	}
	for name := range response.Trailer {
		if mayTrail(name) {
			h["Trailer"] = append(h["Trailer"], name)
		}
	}
}

// spareFromHTTP1 keeps what net/http would drop on a connection of HTTP/1.
func spareFromHTTP1(h http.Header, response *http.Response) {
	if len(response.Trailer) > 0 {
		delete(h, "Content-Length") // trailers need chunks (RFC 9112 §7.1.2); HTTP/2 has both
	}
	if response.StatusCode != http.StatusNotModified {
		return
	}
	// What the fields say of the resource that was not sent (RFC 9110 §15.4.5) is only left alone
	// under names that are not canonical.
	for _, name := range []string{"Content-Type", "Content-Length"} {
		if values := h[name]; len(values) > 0 {
			h[strings.ToLower(name)] = values
			delete(h, name)
		}
	}
}
