package config

import (
	"strconv"
	"strings"
)

// When is the condition of a header rule. An empty field is no condition; all
// the others must hold.
type When struct {
	BearerPrefix    string // of the token in Authorization: Bearer; at most 20 bytes, so that it cannot be one
	PathPrefix      string // of the raw request path; begins with a slash
	UserAgentPrefix string
	Listener        string // the FileDescriptorName= of the socket (systemd.socket(5))
}

// String gives the condition in the spelling of the file, empty for none.
func (w When) String() string {
	var parts []string
	for _, a := range headerSection(&Header{When: w}).sections[0].attributes {
		if value := a.get(); value != `""` {
			parts = append(parts, a.name+" = "+value)
		}
	}
	return strings.Join(parts, ", ")
}

// condition binds one line of a when block. An empty one would say nothing,
// and looks as if it said something.
func condition(name string, field *string, check func(string) *fault) attribute {
	parse := func(s string) (string, *fault) {
		switch {
		case s == "":
			return "", &fault{summary: "the condition is empty", hint: "leave the line out"}
		case len(s) > maxFieldValue:
			return "", &fault{summary: "the condition is too long", hint: "at most " + spellSize(maxFieldValue)}
		}
		return s, check(s)
	}
	return text(name, conditionExample(name), field, parse, func(s string) string { return s })
}

func conditionExample(name string) string {
	switch name {
	case "bearer_prefix":
		return "sk-ant-oat"
	case "path_prefix":
		return "/v1/"
	case "user_agent_prefix":
		return "claude-cli/"
	default:
		return "proxy"
	}
}

func bearerPrefix(s string) *fault {
	const longest = 20 // the kind of a token, never the token
	switch {
	case strings.HasPrefix(strings.ToLower(s), "bearer"):
		return &fault{summary: `the prefix is that of the token, without "Bearer"`, hint: `such as "sk-ant-oat"`}
	case len(s) > longest:
		return &fault{summary: "the prefix is long enough to be a credential", hint: "at most 20 characters, such as \"sk-ant-oat\""}
	case !isVisible(s):
		return &fault{summary: "no token begins so: it holds a space or a control character"}
	}
	return nil
}

func pathPrefix(s string) *fault {
	switch {
	case !strings.HasPrefix(s, "/"):
		return &fault{summary: quote(s) + " does not begin with a slash", hint: "write " + strconv.Quote("/"+s)}
	case strings.ContainsAny(s, "?#") || !isVisible(s):
		return &fault{summary: quote(s) + " is no path's beginning", hint: "the path as it is sent, percent-encoded, without the query"}
	}
	return nil
}

func agentPrefix(s string) *fault {
	switch {
	case looksSecret(s):
		return &fault{summary: "the prefix looks like a credential", hint: "take it out: the daemon holds no credentials"}
	case !isFieldValue(s + "x"):
		return &fault{summary: quote(s) + " begins no legal header value"}
	}
	return nil
}

// listenerName follows FileDescriptorName= of systemd.socket(5).
func listenerName(s string) *fault {
	ascii := !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == ':' })
	if !ascii || len(s) > 255 {
		return &fault{summary: quote(s) + " is not the name of a socket", hint: "the FileDescriptorName= of its socket unit; the shipped one is \"proxy\""}
	}
	return nil
}
