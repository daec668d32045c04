package config

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// gatewayHeader is that in which the official gateway, "claude gateway", names the person.
const gatewayHeader = "x-claude-gateway-user-email"

// parseGateway refuses "local": a request of this host that has the header of a person comes from
// another proxy.
func parseGateway(s string) (Source, *fault) {
	if s == string(Local) {
		return Source{}, invalid(`"local" names no gateway`, `write "proxied": a request of this host that names a person comes from another proxy`)
	}
	return parseSource(s)
}

// parsePersonHeader refuses a header that means something else already: nobody's is passed on, and
// its value is logged.
func parsePersonHeader(s string) (string, *fault) {
	lower := strings.ToLower(s)
	begins := func(prefix string) bool { return strings.HasPrefix(lower, prefix) }
	taken := []string{"accept", "cookie", "user-agent", "x-request-id", "traceparent"}
	prefixes := []string{"anthropic-", "content-", "x-claude-code-", "x-stainless-"}
	switch {
	case !isFieldName(s):
		return "", invalid(quote(s)+" is not a valid header name", "use letters, digits and !#$%&'*+-.^_`|~")
	case checkName(s) != nil || slices.Contains(taken, lower) || slices.ContainsFunc(prefixes, begins):
		return "", invalid(quote(s)+" has another meaning", "have the gateway send the name in a header of its own, such as "+strconv.Quote(gatewayHeader))
	}
	return http.CanonicalHeaderKey(s), nil
}

// checkIdentity refuses a header without anybody to believe.
func (d *decoder) checkIdentity() {
	header, named := d.settings["identity.header"]
	if _, believed := d.settings["identity.from"]; named && !believed {
		d.report(header.at, "identity.header has no effect: no sender is trusted without identity.from",
			`add the gateway, by an entry as in access.allow: from = ["tag:aperture"]`)
	}
}

// LooksSecret reports whether the value of a header looks like a credential.
func LooksSecret(value string) bool {
	lower := strings.ToLower(strings.TrimSpace(value))
	scheme, _, _ := strings.Cut(lower, " ")
	return strings.Contains(lower, "sk-ant-") || scheme == "bearer" || scheme == "basic"
}
