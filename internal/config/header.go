package config

import (
	"slices"
	"strconv"
	"strings"
)

// Header is one header block: a rule for one header of the requests that go
// to the upstream.
type Header struct {
	// Name is in the spelling of [net/http.CanonicalHeaderKey]. It is never a
	// credential, a hop-by-hop or framing field, Host, or Tailscale-*.
	Name string
	// Value is a legal field value (RFC 9110, section 5.5), empty with Remove.
	Value string
	Mode  Mode
	When  When
}

// Mode is what a header rule does.
type Mode string

const (
	Set       Mode = "set"     // replaces what the client sent
	Merge     Mode = "merge"   // appends to the client's comma-separated list what is missing in it
	AddAbsent Mode = "default" // adds the header where the client sent none
	Remove    Mode = "remove"  // deletes the header
)

// name gives the rule as it is spelled in the file, with the condition that
// tells it from other rules for the same header.
func (h Header) name() string {
	name := "header " + strconv.Quote(strings.ToLower(h.Name))
	if condition := h.When.String(); condition != "" {
		name += " when " + condition
	}
	return name
}

// spell gives what the rule does, for a reader of the log. Where the name
// says that the value is a secret, the value is not shown.
func (h Header) spell() string {
	switch {
	case h.Mode == Remove:
		return string(h.Mode)
	case soundsSecret(h.Name):
		return string(h.Mode) + " (value not shown)"
	default:
		return string(h.Mode) + " " + strconv.Quote(h.Value)
	}
}

// checkName finds fault with a header that no rule may name: credentials,
// which belong to the client; framing and hop-by-hop fields, which belong to
// HTTP (RFC 9110, section 7.6.1); and what Tailscale says of the client.
func checkName(name string) *fault {
	lower := strings.ToLower(name)
	switch {
	case !isFieldName(name):
		return &fault{
			summary: "is not a legal header name",
			hint:    "letters, digits and !#$%&'*+-.^_`|~, and at least one of them",
		}
	case slices.Contains([]string{"authorization", "proxy-authorization", "x-api-key"}, lower):
		return &fault{
			summary: "is a credential, and no rule may touch it",
			hint:    "it passes from the client to the upstream as it is: set it in the client",
		}
	case strings.HasPrefix(lower, "tailscale-"):
		return &fault{
			summary: "says who the client is, and no rule may touch it",
			hint:    "tailscale-* headers never reach the upstream",
		}
	case slices.Contains(strings.Fields(framing), lower):
		return &fault{
			summary: "belongs to the connection, and no rule may touch it",
			hint:    "the proxy sets it as HTTP demands",
		}
	}
	return nil
}

// framing lists the fields of one connection, those of the message's framing,
// and Host.
const framing = "host content-length transfer-encoding connection keep-alive proxy-authenticate " +
	"proxy-connection te trailer upgrade http2-settings"

// check finds fault with the rule as a whole. given says whether the file
// has a value.
func (h Header) check(given bool) *fault {
	switch {
	case h.Mode == Remove && given:
		return &fault{summary: `mode "remove" takes no value`, hint: "leave the value out"}
	case h.Mode == Remove:
		return nil
	case !given:
		return &fault{summary: "the value is missing", hint: `add the line: value = "…"`}
	case h.Mode == Merge && !isList(h.Value):
		return &fault{summary: `mode "merge" wants a list without empty entries`, hint: `entries with commas between them, such as "a" or "a,b"`}
	}
	return nil
}

func isList(s string) bool {
	for entry := range strings.SplitSeq(s, ",") {
		if strings.Trim(entry, " \t") == "" {
			return false
		}
	}
	return true
}

// fieldValue binds the value of a header. It is never repeated in a fault.
func fieldValue(name string, field *string) attribute {
	parse := func(s string) (string, *fault) {
		switch {
		case looksSecret(s):
			return "", &fault{summary: "the value looks like a credential", hint: "take it out: the daemon holds no credentials, the client sends its own"}
		case !isFieldValue(s):
			return "", &fault{summary: "the value is not legal in HTTP", hint: "no line breaks or other control characters, and no space at either end"}
		case len(s) > maxFieldValue:
			return "", &fault{summary: "the value is too long", hint: "at most " + spellSize(maxFieldValue)}
		}
		return s, nil
	}
	return text(name, "oauth-2025-04-20", field, parse, func(s string) string { return s })
}

const maxFieldValue = 8 << 10
