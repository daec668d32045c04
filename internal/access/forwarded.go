package access

import (
	"net/http"
	"strings"
)

// IsForwardedField reports whether a header says for whom a proxy forwards a request. name is
// canonical, and personHeader is the header of [config.Gateways]. The list serves two rules: these
// headers are not sent to the upstream, and a request from this host that has one was forwarded by
// another proxy for another client (source proxied). An underscore counts as a dash, as for servers
// that turn headers into variables.
//
// Host is listed for trailers only: net/http removes it from a header.
func IsForwardedField(name, personHeader string) bool {
	name = dashed(name)
	switch name {
	case "Host", "Forwarded", "Via", "X-Real-Ip", "Cf-Connecting-Ip", "True-Client-Ip", "X-Client-Ip",
		"X-Litellm-End-User-Id": // sent by the official gateway, beside its own headers
		return true
	}
	return name == dashed(personHeader) || strings.HasPrefix(name, "Tailscale-") || strings.HasPrefix(name, "X-Forwarded-") ||
		strings.HasPrefix(name, "X-Claude-Gateway-")
}

// dashed returns a canonical name with dashes instead of underscores, also in canonical form.
func dashed(name string) string {
	if !strings.Contains(name, "_") {
		return name
	}
	return http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
}

// IsForwarded reports whether the header comes from another proxy that forwards for a client of its
// own, such as "tailscale serve".
func IsForwarded(h http.Header, personHeader string) bool {
	for name := range h {
		if IsForwardedField(name, personHeader) {
			return true
		}
	}
	return false
}
