package config

import (
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// Header is one header block: a rule for one header of the requests to the upstream.
type Header struct {
	// Name is in the spelling of [net/http.CanonicalHeaderKey]. It is never a credential, a
	// hop-by-hop or framing field, Host, or Tailscale-*.
	Name string
	// Value is a legal field value (RFC 9110, section 5.5), empty with Remove.
	Value string
	Mode  Mode
	When  When
}

// Mode is what a header rule does.
type Mode string

const (
	ModeSet     Mode = "set"     // replaces what the client sent
	ModeMerge   Mode = "merge"   // appends to the client's comma-separated list what is missing in it
	ModeDefault Mode = "default" // adds the header where the client sent none
	ModeRemove  Mode = "remove"  // deletes the header
)

// Rule names a header rule as the file does, with the condition that tells it from others for the
// same header.
func (h Header) Rule() string {
	name := "header " + strconv.Quote(strings.ToLower(h.Name))
	if condition := h.When.String(); condition != "" {
		name += " when " + condition
	}
	return name
}

// Effect says what the rule does. Where the name says that the value is a secret, the value is not
// shown.
func (h Header) Effect() string {
	switch {
	case h.Mode == ModeRemove:
		return string(h.Mode)
	case SoundsSecret(h.Name):
		return string(h.Mode) + " (value not shown)"
	default:
		return string(h.Mode) + " " + strconv.Quote(h.Value)
	}
}

// checkName refuses headers that no rule may change: credentials, which belong to the client;
// framing and hop-by-hop fields, which belong to HTTP (RFC 9110, section 7.6.1); and what Tailscale
// says of the client.
func checkName(name string) *fault {
	credentials := []string{"authorization", "proxy-authorization", "x-api-key"}
	framing := []string{
		"host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-authenticate", "proxy-connection",
		"te", "trailer", "upgrade", "http2-settings",
	}
	switch lower := strings.ToLower(name); {
	case !isFieldName(name):
		return invalid("is not a valid header name", "use letters, digits and !#$%&'*+-.^_`|~")
	case slices.Contains(credentials, lower):
		return invalid("is a credential, which no rule may change", "set it in the client: it passes through to the upstream")
	case strings.HasPrefix(lower, "tailscale-"):
		return invalid("says who the client is, which no rule may change", "tailscale-* headers are never sent to the upstream")
	case slices.Contains(framing, lower):
		return invalid("belongs to the connection, which no rule may change", "the proxy sets it as HTTP demands")
	}
	return nil
}

// check refuses a mode that does not fit the value; hasValue is whether the file has one.
func (h Header) check(hasValue bool) *fault {
	empty := func(entry string) bool { return strings.Trim(entry, " \t") == "" }
	switch {
	case h.Mode == ModeRemove && hasValue:
		return invalid(`mode "remove" takes no value`, "remove the line")
	case h.Mode != ModeRemove && !hasValue:
		return invalid("the value is missing", `add the line: value = "…"`)
	case h.Mode == ModeMerge && slices.ContainsFunc(strings.Split(h.Value, ","), empty):
		return invalid(`mode "merge" needs a list without empty entries`, `write entries with commas between them, such as "a" or "a,b"`)
	}
	return nil
}

const maxFieldValue = 8 << 10

// OAuthBeta is the feature in anthropic-beta without which the API refuses a subscription's token.
const OAuthBeta = "oauth-2025-04-20"

// headerValue binds the value of a header. No fault repeats it.
func headerValue(path string, field *string) attribute {
	parse := func(s string) (string, *fault) {
		switch {
		case LooksSecret(s):
			return "", invalid("the value looks like a credential", "remove it: the daemon holds no credentials, the client sends its own")
		case !isFieldValue(s):
			return "", invalid("the value is not valid in HTTP", "remove line breaks, other control characters, and spaces at either end")
		case len(s) > maxFieldValue:
			return "", invalid("the value is longer than "+spellSize(maxFieldValue), "")
		}
		return s, nil
	}
	return text(path, OAuthBeta, field, parse, asIs)
}

// AppendElements appends the elements of comma-separated lists that list does not have yet; empty
// ones are dropped (RFC 9110 §5.6.1). A comma inside a quoted string does not separate. Elements
// are compared exactly: those of a list of unknown meaning may be case-sensitive.
func AppendElements(list []string, lines ...string) []string {
	for _, line := range lines {
		for line != "" {
			var element string
			element, line = cutElement(line)
			if element = textproto.TrimString(element); element != "" && !slices.Contains(list, element) {
				list = append(list, element)
			}
		}
	}
	return list
}

// cutElement splits a list behind its first element.
func cutElement(line string) (element, rest string) {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '"':
			quoted = !quoted
		case '\\':
			if quoted {
				i++
			}
		case ',':
			if !quoted {
				return line[:i], line[i+1:]
			}
		}
	}
	return line, ""
}
