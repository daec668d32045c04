package proxy

import (
	"net/http"
	"strings"

	"oauth-proxyd/internal/config"
)

// RuleResult is what a rule did to a request, as a label of a metric and in the log.
type RuleResult string

// The results of a rule.
const (
	RuleAdded    RuleResult = "added"    // the header, or an element of it, was missing and was added
	RulePresent  RuleResult = "present"  // the request already had what the rule asks for
	RuleReplaced RuleResult = "replaced" // another value was replaced
	RuleRemoved  RuleResult = "removed"  // the header was deleted
	RuleSkipped  RuleResult = "skipped"  // the condition did not hold
)

// ruleResults returns all results.
func ruleResults() []RuleResult {
	return []RuleResult{RuleAdded, RulePresent, RuleReplaced, RuleRemoved, RuleSkipped}
}

// ruleSubject is what conditions look at: parts of a request, before any rule changes it.
type ruleSubject struct {
	bearer, path, userAgent, listener string
}

// holds reports whether the condition of a rule holds.
func holds(w config.When, s ruleSubject) bool {
	return (w.BearerPrefix == "" || strings.HasPrefix(s.bearer, w.BearerPrefix)) &&
		strings.HasPrefix(s.path, w.PathPrefix) &&
		strings.HasPrefix(s.userAgent, w.UserAgentPrefix) &&
		(w.Listener == "" || s.listener == w.Listener)
}

// apply applies the rule to h and returns the result.
func apply(r config.Header, h http.Header, s ruleSubject) RuleResult {
	if !holds(r.When, s) {
		return RuleSkipped
	}
	old, had := h[r.Name]
	switch r.Mode {
	case config.ModeRemove:
		delete(h, r.Name)
		if had {
			return RuleRemoved
		}
		return RulePresent
	case config.ModeMerge:
		return merge(r, h)
	case config.ModeDefault:
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

// merge joins all lines of the header into one comma-separated list (RFC 9110 §5.3) and appends
// missing elements of the rule. The client's order and spelling stay.
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
