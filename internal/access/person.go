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
