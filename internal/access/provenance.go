package access

import (
	"net/http"
	"strings"
)

// NamesOrigin reports whether a header says on whose behalf a request comes: for a proxy, who
// its client is. This one list decides two things. Only we know who sends a request, so the
// upstream gets none of these headers, and a request from this host that has one comes from a
// proxy that speaks for somebody else (source proxied). It wants a canonical name.
//
// Host belongs to the connection rather than to a client. net/http never leaves it in a header,
// so here it stands for trailers.
func NamesOrigin(name string) bool {
	switch name {
	case "Host", "Forwarded", "Via", "X-Real-Ip", "Cf-Connecting-Ip", "True-Client-Ip", "X-Client-Ip",
		"X-Litellm-End-User-Id": // of the official gateway, beside its own
		return true
	}
	return strings.HasPrefix(name, "Tailscale-") || strings.HasPrefix(name, "X-Forwarded-") ||
		strings.HasPrefix(name, "X-Claude-Gateway-User-")
}

// SpeaksForAnother reports whether another proxy sent the header for a client of its own, such as
// "tailscale serve".
func SpeaksForAnother(h http.Header) bool {
	for name := range h {
		if NamesOrigin(name) {
			return true
		}
	}
	return false
}
