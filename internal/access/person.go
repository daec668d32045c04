package access

import (
	"net/http"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"oauth-proxyd/internal/config"
)

// maxPerson is the longest name of a person, in bytes.
const maxPerson = 128

// NotBelieved is the doubt about a sender whose word does not count.
const NotBelieved = "identity.from does not name the sender"

// person is for whom a gateway sends a request. doubt is why a header that is there names nobody;
// it repeats nothing of the header.
func person(h http.Header, sender Identity, addr netip.Addr, gateways config.Identity) (name, doubt string) {
	values := h[gateways.Header]
	if len(values) == 0 {
		return "", ""
	}
	if !Admits(gateways.From, sender, addr) {
		return "", NotBelieved
	}
	name = strings.TrimSpace(values[0])
	for _, other := range values[1:] {
		if strings.TrimSpace(other) != name {
			return "", "it is there several times, with different values"
		}
	}
	if doubt := doubtful(name); doubt != "" {
		return "", doubt
	}
	return strings.Clone(name), "" // it outlives the request
}

// doubtful is why a value is not the name of one person. Intermediaries may join several fields
// with commas (RFC 9110 §5.3); a quoted name would break the quotes of a log.
func doubtful(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > maxPerson:
		return "it is longer than 128 bytes"
	case strings.ContainsAny(name, ",\"\\"):
		return "it has a comma, a quote or a backslash, as several values and quoted ones have"
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "it is not printable text"
	case config.LooksSecret(name):
		return "it looks like a credential"
	}
	return ""
}

// NamesOrigin reports whether a header says on whose behalf a request comes: for a proxy, who its
// client is. This one list decides two things. Only we know who sends a request, so the upstream
// gets none of these headers, and a request from this host that has one comes from a proxy that
// speaks for somebody else (source proxied). It wants a canonical name. personHeader is that of
// [config.Identity].
//
// Host belongs to the connection rather than to a client. net/http never leaves it in a header, so
// here it stands for trailers.
func NamesOrigin(name, personHeader string) bool {
	switch name {
	case "Host", "Forwarded", "Via", "X-Real-Ip", "Cf-Connecting-Ip", "True-Client-Ip", "X-Client-Ip",
		"X-Litellm-End-User-Id": // of the official gateway, beside its own
		return true
	}
	return name == personHeader || strings.HasPrefix(name, "Tailscale-") || strings.HasPrefix(name, "X-Forwarded-") ||
		strings.HasPrefix(name, "X-Claude-Gateway-User-")
}

// SpeaksForAnother reports whether another proxy sent the header for a client of its own, such as
// "tailscale serve".
func SpeaksForAnother(h http.Header, personHeader string) bool {
	for name := range h {
		if NamesOrigin(name, personHeader) {
			return true
		}
	}
	return false
}
