package proxy

import (
	"net/http"
	"strings"

	"oauth-proxyd/internal/config"
)

// RuleResult is what a rule did to a request; the label of a metric and a word in the log.
type RuleResult string

// The results of a rule.
const (
	RuleAdded    RuleResult = "added"    // the header or an element of it was missing and was added
	RulePresent  RuleResult = "present"  // the request had already what the rule asks for
	RuleReplaced RuleResult = "replaced" // another value gave way
	RuleRemoved  RuleResult = "removed"  // the header was deleted
	RuleSkipped  RuleResult = "skipped"  // the condition did not hold
)

// ruleResults are all of them.
func ruleResults() []RuleResult {
	return []RuleResult{RuleAdded, RulePresent, RuleReplaced, RuleRemoved, RuleSkipped}
}

// ruleSubject is the part of a request that conditions look at, taken before any rule changed it.
type ruleSubject struct {
	bearer, path, userAgent, listener string
}

// holds reports whether the rule with this condition applies to the request.
func holds(w config.When, s ruleSubject) bool {
	return (w.BearerPrefix == "" || strings.HasPrefix(s.bearer, w.BearerPrefix)) &&
		strings.HasPrefix(s.path, w.PathPrefix) &&
		strings.HasPrefix(s.userAgent, w.UserAgentPrefix) &&
		(w.Listener == "" || s.listener == w.Listener)
}

// apply changes h as the rule says and reports what that came to.
func apply(r config.Header, h http.Header, s ruleSubject) RuleResult {
	if !holds(r.When, s) {
		return RuleSkipped
	}
	old, had := h[r.Name]
	switch r.Mode {
	case config.Remove:
		delete(h, r.Name)
		if had {
			return RuleRemoved
		}
		return RulePresent
	case config.Merge:
		return merge(r, h)
	case config.AddAbsent:
		if had {
			return RulePresent
		}
	}
	h[r.Name] = []string{r.Value}
	switch {
	case !had:
		return RuleAdded
	case len(old) == 1 && old[0] == r.Value:
		return RulePresent
	default:
		return RuleReplaced
	}
}

// merge makes one comma-separated list of all lines of the header (RFC 9110 §5.3) and appends the
// elements that it lacks. The order and the spelling of what was there stay.
func merge(r config.Header, h http.Header) RuleResult {
	list := config.AppendElements(nil, h[r.Name]...)
	had := len(list)
	list = config.AppendElements(list, r.Value)
	h[r.Name] = []string{strings.Join(list, ",")}
	if len(list) == had {
		return RulePresent
	}
	return RuleAdded
}
