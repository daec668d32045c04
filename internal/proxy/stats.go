package proxy

import (
	"fmt"
	"net/http"
	"time"

	"oauth-proxyd/internal/term"
)

// Stats counts requests, and says whether they succeed. What happened last decides that:
//
//	last                 Trouble
//	success              none
//	doubtful, refusal    from the third failure in a row on (fewDoubtful)
//	breakdown            at once
//
// A doubtful failure after a breakdown counts only if the API responded: that shows that the path
// to it works. What is unjudged changes nothing.
type Stats struct {
	InFlight     int       `json:"in_flight"`
	Queued       int       `json:"queued"`
	Served       uint64    `json:"served"`  // since the start, without those refused
	Failed       uint64    `json:"failed"`  // of these
	Refused      uint64    `json:"refused"` // since the start, because the sender has no access
	CutByDrain   uint64    `json:"cut_by_drain"`
	LastSuccess  time.Time `json:"last_success,omitzero"`  // the last success or complete 4xx of the API; zero: none yet
	LastResponse time.Time `json:"last_response,omitzero"` // when the upstream last began a response
	LastStatus   int       `json:"last_status,omitzero"`   // of LastResponse
	LastFailure  time.Time `json:"last_failure,omitzero"`  // zero: none yet
	Cause        string    `json:"cause,omitzero"`         // of the last failure
	Fix          string    `json:"fix,omitzero"`           // what to do about it
	InARow       int       `json:"in_a_row"`               // failures since the last success
	Since        time.Time `json:"since,omitzero"`         // the first of them
	last         verdict   // on the latest of them, or success
	needsMessage bool      // one of them was a message, so only a message is the next success
}

func (s *Stats) succeed(r *record, now time.Time) {
	s.LastSuccess = now
	if r.isMessage() || !s.needsMessage {
		s.last, s.InARow, s.needsMessage = success, 0, false
	}
}

func (s *Stats) fail(r *record, v verdict, cause, fix string, now time.Time) {
	s.Failed++
	fromAPI := r.UpstreamRequestID != "" && !r.left
	if s.last == breakdown && v < breakdown && !fromAPI {
		return
	}
	if r.FirstByte > 0 && !r.isMessage() {
		cause += fmt.Sprintf(" for %s %s", r.Method, term.Cut(r.Path, shownPath)) // perhaps nothing else fails
	}
	s.InARow++
	if s.InARow == 1 {
		s.Since = now
	}
	s.needsMessage = s.needsMessage || r.isMessage()
	s.LastFailure, s.Cause, s.Fix, s.last = now, cause, fix, v
}

// fewDoubtful is how many failures in a row that may be the clients' own fault count as trouble.
const fewDoubtful = 3

// Trouble says why requests do not succeed and how to fix it, or returns "" if they do.
func (s Stats) Trouble(now time.Time) string {
	noun := "request"
	if s.needsMessage {
		noun = "message"
	}
	switch {
	case s.InARow == 0, s.last < breakdown && s.InARow < fewDoubtful:
		return ""
	case s.InARow == 1:
		return "the last " + noun + " failed: " + s.Cause + "; " + s.Fix
	}
	return fmt.Sprintf("no %s has succeeded for %s: %s (%d in a row); %s", noun, roughly(now.Sub(s.Since)), s.Cause, s.InARow, s.Fix)
}

func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", max(1, d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f h", d.Hours())
}

const (
	runDoctor = "run `oauth-proxyd doctor`"
	fixAPI    = "it is the API: see https://status.anthropic.com"
)

// fixResponse says what to do about a response that failed.
func fixResponse(status int, upstreamID string) string {
	switch {
	case upstreamID == "":
		return "the API sends a request-id header with each response, but this one had none: a proxy, firewall or portal on the path" +
			" may have sent it; " + runDoctor
	case status == http.StatusUnauthorized:
		return "if it is one person, they log in again (/login in Claude Code) or check their API key; if it is everyone, nobody should:" +
			" see the header rule with `oauth-proxyd selftest`, then https://status.anthropic.com"
	case status == http.StatusTooManyRequests:
		return "see `oauth-proxyd limits`: an account has reached its rate limit"
	case status >= http.StatusInternalServerError:
		return fixAPI
	}
	return "see the error that the client shows: it is the API's"
}
