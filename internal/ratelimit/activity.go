package ratelimit

import (
	"maps"
	"time"
)

// maxActive bounds the remembered users who have requests in flight or had some lately.
const maxActive = 512

// activity counts the requests of one user.
type activity struct {
	account string    // of their latest response; empty: none yet, so it may be any
	open    int       // requests in flight
	until   time.Time // when the last of them ended
}

// begin counts a request. At the bound, users without requests in flight are forgotten, and if
// nobody can be, a new one is not remembered.
func (a *Accounts) begin(by User) *activity {
	one := a.active[by]
	if one == nil {
		one = &activity{}
		if len(a.active) >= maxActive {
			maps.DeleteFunc(a.active, func(_ User, idle *activity) bool { return idle.open == 0 })
		}
		if len(a.active) < maxActive {
			a.active[by] = one
		}
	}
	one.open++
	return one
}

// owner returns whose a rise is that a response to by shows. It is that user's, without the session
// if another session of the same person had a request in flight after sent, when this request was
// sent. known is false if another person had.
func (a *Accounts) owner(account string, by User, sent time.Time) (owner User, known bool) {
	owner = by
	for other, one := range a.active {
		switch {
		case other == by, one.account != "" && one.account != account, one.open == 0 && !one.until.After(sent):
		case !other.isPerson(by):
			return User{}, false
		default:
			owner.Session = ""
		}
	}
	return owner, true
}
