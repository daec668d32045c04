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

// NotBelieved is the doubt about a sender that is no trusted gateway.
const NotBelieved = "identity.from does not name the sender"

// person returns the name of the person for whom a trusted gateway sends a request. doubt says why
// a header that is present is ignored, without quoting it.
func person(h http.Header, sender Identity, addr netip.Addr, gateways config.Gateways) (name, doubt string) {
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
			return "", "it occurs several times, with different values"
		}
	}
	if doubt := doubtful(name); doubt != "" {
		return "", doubt
	}
	return strings.Clone(name), "" // it outlives the request
}

// doubtful says why a value cannot be the name of one person, or returns "". Intermediaries may
// join several fields with commas (RFC 9110 §5.3). A quote would break the quoting of a log.
func doubtful(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > maxPerson:
		return "it is longer than 128 bytes"
	case strings.ContainsAny(name, ",\"\\"):
		return "it contains a comma, a quote or a backslash, so it may be several values"
	case !utf8.ValidString(name) || strings.ContainsFunc(name, isInvisible):
		return "it is not printable text"
	case !strings.ContainsFunc(name, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }):
		return "it has no letter and no digit"
	case config.LooksSecret(name):
		return "it looks like a credential"
	}
	return ""
}

// isInvisible reports whether nothing is seen of a character, so that two names could look alike.
// Unicode counts a braille pattern without dots and some letters as printable.
func isInvisible(r rune) bool {
	const blankBraille = '\u2800'
	return !unicode.IsPrint(r) || r == blankBraille ||
		unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// NamesOrigin reports whether a header says for whom a proxy forwards a request. name is canonical,
// and personHeader is the header of [config.Gateways]. The list serves two rules: these headers are
// not sent to the upstream, and a request from this host that has one was forwarded by another
// proxy for another client (source proxied). An underscore counts as a dash, as for servers that
// turn headers into variables.
//
// Host is listed for trailers only: net/http removes it from a header.
func NamesOrigin(name, personHeader string) bool {
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

// SpeaksForAnother reports whether the header comes from another proxy that forwards for a client
// of its own, such as "tailscale serve".
func SpeaksForAnother(h http.Header, personHeader string) bool {
	for name := range h {
		if NamesOrigin(name, personHeader) {
			return true
		}
	}
	return false
}
