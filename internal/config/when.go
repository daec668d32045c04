package config

import "strings"

// When is the condition of a header rule. An empty field is no condition; all the others must hold.
type When struct {
	BearerPrefix    string // of the token in Authorization: Bearer; at most 20 bytes, so that it cannot be one
	PathPrefix      string // of the raw request path; begins with a slash
	UserAgentPrefix string
	Listener        string // the FileDescriptorName= of the socket (systemd.socket(5))
}

// String returns the condition in the spelling of the file, "" for none.
func (w When) String() string {
	var parts []string
	for _, a := range headerSchema("header", &Header{When: w}) {
		name, ok := strings.CutPrefix(a.path, "header.when.")
		if value := a.get(); ok && value != `""` {
			parts = append(parts, name+" = "+value)
		}
	}
	return strings.Join(parts, ", ")
}

// covers reports whether every request that meets other meets w, too.
func (w When) covers(other When) bool {
	return strings.HasPrefix(other.BearerPrefix, w.BearerPrefix) && strings.HasPrefix(other.PathPrefix, w.PathPrefix) &&
		strings.HasPrefix(other.UserAgentPrefix, w.UserAgentPrefix) && (w.Listener == "" || w.Listener == other.Listener)
}

// overlaps reports whether one request can meet both.
func (w When) overlaps(other When) bool {
	return overlap(w.BearerPrefix, other.BearerPrefix) && overlap(w.PathPrefix, other.PathPrefix) &&
		overlap(w.UserAgentPrefix, other.UserAgentPrefix) && (w.Listener == "" || other.Listener == "" || w.Listener == other.Listener)
}

// overlap reports whether a text can begin with both prefixes.
func overlap(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

// condition binds one line of a when block. An empty value is an error, because it would hold for
// every request, and so is one that no request can have.
func condition(path, example string, field *string, check func(string) *fault) attribute {
	parse := func(s string) (string, *fault) {
		switch {
		case s == "":
			return "", invalid("the condition is empty", "remove the line")
		case len(s) > maxFieldValue:
			return "", invalid("the condition is longer than "+spellSize(maxFieldValue), "")
		case !isFieldValue(s + "x"):
			return "", invalid("contains a control character, or begins with a space", "")
		}
		return s, check(s)
	}
	return text(path, example, field, parse, asIs)
}

func bearerPrefix(s string) *fault {
	const longest = 20 // the kind of a token, never the token
	switch {
	case strings.HasPrefix(strings.ToLower(s), "bearer"):
		return invalid(`must be a prefix of the token, without "Bearer"`, `such as "sk-ant-oat"`)
	case len(s) > longest:
		return invalid("is long enough to be a credential", `write at most 20 characters, such as "sk-ant-oat"`)
	case strings.Contains(s, " "):
		return invalid("is not a valid token prefix: it contains a space", "")
	}
	return nil
}

func pathPrefix(s string) *fault {
	switch {
	case !strings.HasPrefix(s, "/"):
		return invalid("must begin with a slash", "write "+quote("/"+s))
	case strings.ContainsAny(s, "?#") || !isVisible(s):
		return invalid(quote(s)+" is not a valid path prefix", "write the path as it is sent, percent-encoded, without the query")
	}
	return nil
}

// noSecret is the check of conditions that may be any text but a credential.
func noSecret(s string) *fault {
	if LooksSecret(s) {
		return invalid("looks like a credential", "remove it: the daemon holds no credentials")
	}
	return nil
}
