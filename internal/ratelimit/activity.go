package ratelimit

import (
	"slices"
	"time"
)

// maxActive bounds the remembered users who have requests in flight or had some lately.
const maxActive = 512

// activity counts the requests of one user on one account.
type activity struct {
	by      User
	account string    // its ID; empty: not known, because no response has named it
	open    int       // in flight
	until   time.Time // when the last of them ended
}

// since reports whether a request was in flight at the time t or later.
func (a *activity) since(t time.Time) bool { return a.open > 0 || a.until.After(t) }

// begin counts a request of by on an account.
func (a *Accounts) begin(by User, account string) *activity {
	i := slices.IndexFunc(a.active, func(one *activity) bool { return one.account == account && one.by == by })
	if i < 0 {
		if len(a.active) >= maxActive {
			a.evict()
		}
		i = len(a.active)
		a.active = append(a.active, &activity{by: by, account: account})
	}
	a.active[i].open++
	return a.active[i]
}

// end ends a request.
func (a *activity) end() {
	a.open--
	a.until = time.Now()
}

// evict forgets the user whose last request ended first, or the first of all if each has one in
// flight.
func (a *Accounts) evict() {
	first := 0
	for i, one := range a.active {
		if other := a.active[first]; one.open == 0 && (other.open > 0 || one.until.Before(other.until)) {
			first = i
		}
	}
	a.active = slices.Delete(a.active, first, first+1)
}

// sighting is a response about an account.
type sighting struct {
	accounts *Accounts
	account  *Account
	by       User
	sent     time.Time // the request
}

// overlapped reports whether another request was in flight on the account while this one waited.
func (s sighting) overlapped() bool {
	return slices.ContainsFunc(s.accounts.active, func(one *activity) bool {
		return one.account == s.account.ID && one.since(s.sent)
	})
}

// suspects are the users who may have caused a rise.
type suspects struct {
	owner  User   // the sender of the response; no session: or another session of the same person
	others []User // users who are not the same person for certain
}

// suspects returns who may have used the window since what its last response showed: the sender of
// this one, and everybody else with a request in flight while this one waited. A request without a
// response may have used any account since then.
func (s sighting) suspects(w *Window) suspects {
	result, last := suspects{owner: s.by}, s.sent
	if w.seen.Before(last) {
		last = w.seen
	}
	for _, other := range s.accounts.active {
		if other.account == s.account.ID && other.since(s.sent) ||
			other.account == "" && other.since(last) && s.accounts.mayUse(s.account, other.by) {
			result.owner = result.owner.with(other.by)
			if !other.by.isPerson(s.by) {
				result.others = append(result.others, other.by)
			}
		}
	}
	return result
}

// with returns what is common to two users, of whom u is known to be involved.
func (u User) with(o User) User {
	if o.Session != u.Session {
		u.Session = ""
	}
	return u
}

// mayUse reports whether a request of by may use the account one: by has used it, or no other. If
// by begins to use it with this request, [Window.share] corrects what was attributed meanwhile.
func (a *Accounts) mayUse(one *Account, by User) bool {
	elsewhere := false
	for _, other := range a.active {
		switch {
		case other.account == "" || !other.by.isPerson(by):
		case other.account == one.ID:
			return true
		default:
			elsewhere = true
		}
	}
	return !elsewhere
}
