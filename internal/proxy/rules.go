package proxy

import (
	"net/http"
	"strings"

	"oauth-proxyd/internal/config"
)

// What a rule did to a request, as a label of a metric and in the log.
const (
	ruleAdded    = "added"    // the header, or an element of it, was missing and was added
	rulePresent  = "present"  // the request already had what the rule asks for
	ruleReplaced = "replaced" // another value was replaced
	ruleRemoved  = "removed"  // the header was deleted
	ruleSkipped  = "skipped"  // the condition did not hold
)

func ruleResults() []string {
	return []string{ruleAdded, rulePresent, ruleReplaced, ruleRemoved, ruleSkipped}
}

func holds(w config.When, in *http.Request, listener string) bool {
	return strings.HasPrefix(bearerToken(in.Header), w.BearerPrefix) &&
		strings.HasPrefix(rawPath(in), w.PathPrefix) &&
		strings.HasPrefix(in.Header.Get("User-Agent"), w.UserAgentPrefix) &&
		(w.Listener == "" || listener == w.Listener)
}

// apply applies the rule to h, the header to be sent for the request in, which came through a
// listener. It returns the result, as a label of a metric and in the log.
func apply(r config.Header, h http.Header, in *http.Request, listener string) string {
	if !holds(r.When, in, listener) {
		return ruleSkipped
	}
	old, had := h[r.Name]
	switch r.Mode {
	case config.ModeRemove:
		delete(h, r.Name)
		if had {
			return ruleRemoved
		}
		return rulePresent
	case config.ModeMerge:
		return merge(r, h)
	case config.ModeDefault:
		if had {
			return rulePresent
		}
	case config.ModeSet: // config admits no other mode
	}
	h[r.Name] = []string{r.Value}
	switch {
	case !had:
		return ruleAdded
	case len(old) == 1 && old[0] == r.Value:
		return rulePresent
	default:
		return ruleReplaced
	}
}

// merge joins all lines of the header into one comma-separated list (RFC 9110 §5.3) and appends
// missing elements of the rule. The client's order and spelling stay.
func merge(r config.Header, h http.Header) string {
	list := config.AppendElements(nil, h[r.Name]...)
	had := len(list)
	list = config.AppendElements(list, r.Value)
	h[r.Name] = []string{strings.Join(list, ",")}
	if len(list) == had {
		return rulePresent
	}
	return ruleAdded
}
