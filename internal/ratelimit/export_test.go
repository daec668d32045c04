package ratelimit

import "net/http"

// Seen is a request whose response has come at once.
func (a *Accounts) Seen(h http.Header, by User) *Request {
	r := a.Sent(by)
	r.Responded(h, by)
	return r
}

// ActiveUsers counts the users of all accounts whose requests are remembered.
func ActiveUsers(a *Accounts) int { return len(a.active) }
