package proxy

import (
	"hash/maphash"
	"net/http"
	"strings"

	"oauth-proxyd/internal/access"
)

// fingerprints turn requests into numbers that are equal for equal requests. They have a key of
// their own, so that nobody can make two requests alike, or learn a header from a number.
type fingerprints struct{ key maphash.Seed }

// of is the fingerprint of a request: its method, its target and its header, without all that an
// intermediary drops, adds or writes another way. The order of the fields does not count, nor
// whether a list is one field or several (RFC 9110 §5.3).
func (f fingerprints) of(method, target string, h http.Header) uint64 {
	connection := h["Connection"]
	sum := maphash.String(f.key, method) + 3*maphash.String(f.key, target)
	for name, values := range h {
		if name == "user-agent" {
			name = "User-Agent" // see keepUserAgent
		}
		if isHopByHop(name) || access.NamesOrigin(name) || changesOnTheWay(name) || lists(connection, name) {
			continue
		}
		sum += f.field(name, values)
	}
	return sum
}

// field is 0 for a field that is empty, as some intermediaries drop those.
func (f fingerprints) field(name string, values []string) uint64 {
	var h maphash.Hash
	h.SetSeed(f.key)
	_, _ = h.WriteString(name) // never an error
	empty := true
	for _, value := range values {
		for element := range strings.SplitSeq(value, ",") {
			if element = strings.TrimSpace(element); element != "" {
				empty = false
				_ = h.WriteByte(',')
				_, _ = h.WriteString(element)
			}
		}
	}
	if empty {
		return 0
	}
	return h.Sum64()
}

// lists reports whether a Connection header names the field, which is then dropped.
func lists(connection []string, name string) bool {
	for _, line := range connection {
		for listed := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(listed), name) {
				return true
			}
		}
	}
	return false
}

// changesOnTheWay reports whether proxies that are otherwise faithful add a field or change it:
// framing, the codings that they accept themselves, and traces. It wants a canonical name.
func changesOnTheWay(name string) bool {
	switch name {
	case "Content-Length", "Expect", "Accept-Encoding",
		"X-Request-Id", "X-Correlation-Id", "Traceparent", "Tracestate", "Baggage", "B3", "X-Cloud-Trace-Context",
		"Cdn-Loop", "X-Scheme":
		return true
	}
	return strings.HasPrefix(name, "X-Envoy-") || strings.HasPrefix(name, "X-B3-") ||
		strings.HasPrefix(name, "X-Amzn-") || strings.HasPrefix(name, "X-Original-") || strings.HasPrefix(name, "Cf-")
}
