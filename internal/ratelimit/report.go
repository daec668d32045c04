package ratelimit

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// User says who a request is for, as the log names them.
type User struct {
	Person  string `json:"person,omitempty"`  // empty: log.identity withholds names
	Kind    string `json:"kind,omitempty"`    // of a sender that is not a person: "node", "address", "local"
	Session string `json:"session,omitempty"` // empty: none, or several at once
}

// isPerson reports whether o is certainly the same person. If names are withheld, only sessions
// tell people apart.
func (u User) isPerson(o User) bool {
	return u.Person == o.Person && u.Kind == o.Kind && (u.Person != "" || u.Session != "" && u.Session == o.Session)
}

// Use is what one user used of a window.
type Use struct {
	User
	Utilization float64 `json:"utilization"`
}

// Window is a rate limit for a period of time.
type Window struct {
	Name        string    `json:"window"`
	Status      State     `json:"status"`
	Utilization *float64  `json:"utilization"` // 0 to 1 or more; null: not reported
	ResetsAt    time.Time `json:"resets_at,omitzero"`
	// Limit and Remaining are set for windows of an API key.
	Limit     *int64 `json:"limit,omitempty"`
	Remaining *int64 `json:"remaining,omitempty"`
	// UsedBy lists who used it, the heaviest user first. Shared was used by some of the people in
	// SharedBy, without sessions. Unknown is the rest.
	UsedBy   []Use   `json:"used_by"`
	Shared   float64 `json:"shared"`
	SharedBy []User  `json:"shared_by"`
	Unknown  float64 `json:"unknown"`
	// MixedUntil is set if several limits share the organization: the values are the latest
	// response's, until the last known reset of them.
	MixedUntil time.Time `json:"mixed_until,omitzero"`

	seen  time.Time // the utilization contains all that ended before
	rises []rise    // the latest ones
}

func (w *Window) isMixed() bool { return !w.MixedUntil.IsZero() }

// Account is what responses reported about one organization.
type Account struct {
	ID           string    `json:"account"` // a hash of the organization
	LastResponse time.Time `json:"last_response"`
	// Claim is the window that limits requests now, in the upstream's words.
	Claim string `json:"claim,omitempty"`
	// OverageInUse says that requests are billed beyond the subscription. OverageDisabled is the
	// reason why they cannot be.
	OverageInUse    bool     `json:"overage_in_use,omitempty"`
	OverageDisabled string   `json:"overage_disabled_reason,omitempty"`
	Windows         []Window `json:"windows"`
}

// Saved is all that Accounts remembers, for the successor of this process.
type Saved struct {
	Key      []byte    `json:"key"`
	Accounts []Account `json:"accounts"`
	Active   []Active  `json:"active"`
}

// Active is a user with requests in flight.
type Active struct {
	User
	Account string `json:"account,omitempty"` // empty: not known
}

// Report returns the accounts, the one with the latest response first.
func (a *Accounts) Report() []Account {
	now := time.Now()
	all := a.Save().Accounts
	for i := range all {
		sortWindows(all[i].Windows)
		for j := range all[i].Windows {
			all[i].Windows[j].finish(now)
		}
	}
	slices.SortFunc(all, func(a, b Account) int {
		return cmp.Or(b.LastResponse.Compare(a.LastResponse), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// Save returns a copy of everything that is remembered.
func (a *Accounts) Save() Saved {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgetOld(time.Now())
	m := Saved{Key: slices.Clone(a.key), Accounts: make([]Account, 0, len(a.known))}
	for _, one := range a.known {
		c := *one
		c.Windows = slices.Clone(c.Windows)
		for i, w := range c.Windows {
			c.Windows[i].UsedBy = append([]Use{}, w.UsedBy...) // a list in JSON too
			c.Windows[i].SharedBy = append([]User{}, w.SharedBy...)
		}
		m.Accounts = append(m.Accounts, c)
	}
	for _, one := range a.active {
		if one.open > 0 {
			m.Active = append(m.Active, Active{one.by, one.account})
		}
	}
	return m
}

// Restore replaces everything by what another process remembered, whose requests in flight last
// until [Accounts.PredecessorEnded].
func (a *Accounts) Restore(m Saved) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(m.Key) == 0 {
		return
	}
	a.key = m.Key
	clear(a.known)
	for _, one := range m.Accounts[:min(len(m.Accounts), maxAccounts)] {
		a.known[one.ID] = &one
	}
	for _, one := range m.Active[:min(len(m.Active), maxActive)] {
		a.inherited = append(a.inherited, a.begin(one.User, one.Account))
	}
}

// PredecessorEnded ends the requests that the process before this one had in flight.
func (a *Accounts) PredecessorEnded() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range a.inherited {
		one.end()
	}
	a.inherited = nil
}

// ForgetNames removes people's names from everything that is remembered.
func (a *Accounts) ForgetNames() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range a.active {
		one.by = User{Session: one.by.Session}
	}
	for _, one := range a.known {
		for i := range one.Windows {
			w := &one.Windows[i]
			uses := w.UsedBy
			w.UsedBy, w.SharedBy, w.rises = nil, nil, nil
			for _, u := range uses {
				w.use(User{Session: u.Session}, u.Utilization)
			}
		}
	}
}

// finish prepares the window for a report. After its reset, its values are unknown.
func (w *Window) finish(now time.Time) {
	if w.ended(now) {
		*w = Window{Name: w.Name, Status: Unknown, ResetsAt: w.ResetsAt, UsedBy: []Use{}, SharedBy: []User{}, MixedUntil: w.MixedUntil}
		return
	}
	rest := -w.Shared
	if w.Utilization != nil {
		rest += *w.Utilization
		w.Utilization = new(rounded(*w.Utilization))
	}
	for i := range w.UsedBy {
		u := &w.UsedBy[i].Utilization
		rest -= *u
		*u = rounded(*u)
	}
	w.Shared, w.Unknown = rounded(w.Shared), rounded(max(rest, 0))
	byName := func(a, b User) int {
		return cmp.Or(cmp.Compare(a.Person, b.Person), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Session, b.Session))
	}
	slices.SortFunc(w.UsedBy, func(a, b Use) int { return cmp.Or(cmp.Compare(b.Utilization, a.Utilization), byName(a.User, b.User)) })
	slices.SortFunc(w.SharedBy, byName)
}

// rounded rounds to four digits. The upstream sends two, and sums of floats have more.
func rounded(u float64) float64 { return math.Round(u*1e4) / 1e4 }
