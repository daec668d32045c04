package ratelimit

import (
	"slices"
	"time"
)

// User says who a request is for, as the log names them.
type User struct {
	Person  string `json:"person,omitempty"`  // empty: log.identity withholds names
	Session string `json:"session,omitempty"` // empty: none, or several at once
}

// isPerson reports whether o is certainly the same person. If names are withheld, only sessions
// tell people apart.
func (u User) isPerson(o User) bool {
	return u.Person == o.Person && (u.Person != "" || u.Session != "" && u.Session == o.Session)
}

// attribution says who caused a rise.
type attribution struct {
	User
	shared bool // it may have been another person
}

// attribute returns who caused a rise since t, which a response to by shows. Other people may have
// caused it if their requests were open since then, on this account or on one that is not known.
func (a *Accounts) attribute(one *account, by User, t time.Time) attribution {
	result := attribution{User: by}
	consider := func(other *activity) {
		result.shared = result.shared || !other.isPerson(by)
		if other.Session != by.Session {
			result.Session = ""
		}
	}
	for _, other := range one.users {
		if other.since(t) {
			consider(other)
		}
	}
	for _, other := range a.waiting {
		if other.since(t) && (one.users.mayHave(other.User) || !a.knows(other.User)) {
			consider(other)
		}
	}
	return result
}

// knows reports whether the person is known to use an account.
func (a *Accounts) knows(person User) bool {
	for _, one := range a.known {
		if one.users.has(person) {
			return true
		}
	}
	return false
}

// activity counts the requests of one user.
type activity struct {
	User
	Open  int       `json:"open,omitempty"`
	Until time.Time `json:"until,omitzero"` // when the last of the others ended
}

// since reports whether a request was open at the time t or later.
func (a *activity) since(t time.Time) bool { return a.Open > 0 || a.Until.After(t) }

func (a *activity) extend(until time.Time) {
	if until.After(a.Until) {
		a.Until = until
	}
}

// activities are those of all users. Too many users are counted as one without a name.
type activities []*activity

func (l activities) find(by User) *activity {
	if i := slices.IndexFunc(l, func(one *activity) bool { return one.User == by }); i >= 0 {
		return l[i]
	}
	return nil
}

// has reports whether the person is among the users.
func (l activities) has(person User) bool {
	return slices.ContainsFunc(l, func(one *activity) bool { return one.isPerson(person) })
}

// mayHave reports whether the person is among the users, or among those without a name.
func (l activities) mayHave(person User) bool { return l.has(person) || l.find(User{}) != nil }

// begin counts a request of by.
func (l *activities) begin(by User) *activity {
	one := l.find(by)
	if one == nil && len(*l) >= maxUsers && !l.forgetIdle() {
		by = User{}
		one = l.find(by)
	}
	if one == nil {
		one = &activity{User: by}
		*l = append(*l, one)
	}
	one.Open++
	return one
}

// forgetIdle drops the user whose requests ended first, if there is one. Its time goes to another
// session of the same person, or else to the user without a name.
func (l *activities) forgetIdle() bool {
	unnamed := l.find(User{})
	oldest := -1
	for i, one := range *l {
		if one.Open == 0 && one != unnamed && (oldest < 0 || one.Until.Before((*l)[oldest].Until)) {
			oldest = i
		}
	}
	if oldest < 0 {
		return false
	}
	gone := (*l)[oldest]
	*l = slices.Delete(*l, oldest, oldest+1)
	heir := unnamed
	if i := slices.IndexFunc(*l, func(one *activity) bool { return one.isPerson(gone.User) }); i >= 0 {
		heir = (*l)[i]
	}
	if heir == nil {
		heir = &activity{}
		*l = append(*l, heir)
	}
	heir.extend(gone.Until)
	return true
}

// saved returns a copy for the successor of this process, which does not see open requests end.
func (l activities) saved(now time.Time) activities {
	copies := make(activities, len(l))
	for i, one := range l {
		copies[i] = &activity{User: one.User, Until: one.Until}
		if one.Open > 0 {
			copies[i].Until = now.Add(handover)
		}
	}
	return copies
}

// forgetNames leaves only sessions.
func (l activities) forgetNames() {
	for _, one := range l {
		one.Person = ""
	}
}
