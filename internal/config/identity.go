package config

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// gatewayHeader is the header in which the official gateway, "claude gateway", names the person.
const gatewayHeader = "x-claude-gateway-user-email"

// parseGateway refuses "local" and loopback networks, because a request from this host with the
// header of identity has the source proxied.
func parseGateway(s string) (Source, *fault) {
	source, f := parseSource(s)
	if s == string(Local) || f == nil && source.Prefix.IsValid() && source.Prefix.Addr().IsLoopback() {
		return Source{}, invalid(quote(s)+" names no gateway", `write "proxied": a request of this host that names a person comes from another proxy`)
	}
	return source, f
}

// parsePersonHeader refuses a header that has another meaning already, because the header of
// identity is removed from every request, in all spellings with underscores, and its value is
// logged.
func parsePersonHeader(s string) (string, *fault) {
	lower := strings.ReplaceAll(strings.ToLower(s), "_", "-")
	begins := func(prefix string) bool { return strings.HasPrefix(lower, prefix) }
	taken := []string{"cookie", "expect", "origin", "user-agent", "x-request-id", "traceparent"}
	prefixes := []string{"accept", "anthropic-", "content-", "sec-", "x-claude-code-", "x-stainless-"}
	own := "have the gateway send the name in a header of its own, such as " + strconv.Quote(gatewayHeader)
	switch {
	case !isFieldName(s):
		return "", invalid(quote(s)+" is not a valid header name", "use letters, digits and !#$%&'*+-.^_`|~")
	case checkName(lower) != nil || slices.Contains(taken, lower) || slices.ContainsFunc(prefixes, begins):
		return "", invalid(quote(s)+" is a header that already has a meaning", own)
	case carriesSecret(lower):
		return "", invalid(quote(s)+" carries a credential, and the value is logged", own)
	}
	return http.CanonicalHeaderKey(s), nil
}
