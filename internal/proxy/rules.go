package proxy

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// Mode is what a [HeaderRule] does.
type Mode int

const (
	// ModeSet replaces all values of the header.
	ModeSet Mode = iota
	// ModeMerge makes one comma-separated list of all lines of the header
	// (RFC 9110 §5.3) and appends the elements it lacks. The order and the
	// spelling of what was there stay.
	ModeMerge
	// ModeDefault adds the header if the request has none.
	ModeDefault
	// ModeRemove deletes the header.
	ModeRemove
)

// HeaderRule changes one header of the requests that fulfil its condition.
type HeaderRule struct {
	// Name in canonical form (http.CanonicalHeaderKey).
	Name  string
	Value string
	Mode  Mode
	When  Condition
}

// Condition holds when each of its fields that is not empty holds.
type Condition struct {
	// BearerPrefix is how the token behind "Authorization: Bearer" begins.
	BearerPrefix string
	// PathPrefix is how the raw path begins.
	PathPrefix string
	// UserAgentPrefix is how the client's User-Agent begins.
	UserAgentPrefix string
	// Listener is the name of the socket that the request came in through.
	Listener string
}

// RuleResult is what a rule did to a request; the label of a metric and a word in
// the log.
type RuleResult string

// The results of a rule.
const (
	RuleAdded    RuleResult = "added"    // the header or an element of it was missing and was added
	RulePresent  RuleResult = "present"  // the request had already what the rule asks for
	RuleReplaced RuleResult = "replaced" // another value gave way
	RuleRemoved  RuleResult = "removed"  // the header was deleted
	RuleSkipped  RuleResult = "skipped"  // the condition did not hold
)

// ruleSubject is the part of a request that conditions look at, taken before
// any rule changed it.
type ruleSubject struct {
	bearer, path, userAgent, listener string
}

// holds reports whether the rule applies to the request.
func (c Condition) holds(s ruleSubject) bool {
	return (c.BearerPrefix == "" || strings.HasPrefix(s.bearer, c.BearerPrefix)) &&
		strings.HasPrefix(s.path, c.PathPrefix) &&
		strings.HasPrefix(s.userAgent, c.UserAgentPrefix) &&
		(c.Listener == "" || s.listener == c.Listener)
}

// apply changes h as the rule says and reports what that came to.
func (r HeaderRule) apply(h http.Header, s ruleSubject) RuleResult {
	if !r.When.holds(s) {
		return RuleSkipped
	}
	switch r.Mode {
	case ModeRemove:
		return r.remove(h)
	case ModeMerge:
		return r.merge(h)
	case ModeDefault:
		return r.fill(h)
	default:
		return r.set(h)
	}
}

func (r HeaderRule) remove(h http.Header) RuleResult {
	if _, ok := h[r.Name]; !ok {
		return RulePresent
	}
	delete(h, r.Name)
	return RuleRemoved
}

func (r HeaderRule) fill(h http.Header) RuleResult {
	if _, ok := h[r.Name]; ok {
		return RulePresent
	}
	h[r.Name] = []string{r.Value}
	return RuleAdded
}

func (r HeaderRule) set(h http.Header) RuleResult {
	old, ok := h[r.Name]
	h[r.Name] = []string{r.Value}
	switch {
	case !ok:
		return RuleAdded
	case len(old) == 1 && old[0] == r.Value:
		return RulePresent
	default:
		return RuleReplaced
	}
}

func (r HeaderRule) merge(h http.Header) RuleResult {
	list := appendElements(nil, h[r.Name]...)
	had := len(list)
	list = appendElements(list, r.Value)
	h[r.Name] = []string{strings.Join(list, ",")}
	if len(list) == had {
		return RulePresent
	}
	return RuleAdded
}

// appendElements appends the elements of comma-separated lists that list does
// not have yet; empty ones are dropped (RFC 9110 §5.6.1). A comma inside a
// quoted string does not separate. Elements are compared exactly: those of a
// list of unknown meaning may be case-sensitive.
func appendElements(list []string, lines ...string) []string {
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
