package ratelimit

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"
)

// User says who a request is for, as the log names them.
type User struct {
	Person  string `json:"person,omitempty"`  // or the sender's node or address; empty: log.identity withholds names
	Session string `json:"session,omitempty"` // empty: none, or several
}

// isPerson reports whether o is certainly the same person. If names are withheld, only sessions
// tell people apart.
func (u User) isPerson(o User) bool {
	return u.Person == o.Person && (u.Person != "" || u.Session != "" && u.Session == o.Session)
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
	// UsedBy lists who used it, the heaviest user first. Unknown is the rest.
	UsedBy  []Use   `json:"used_by"`
	Unknown float64 `json:"unknown"`
	// Mixed says that several limits share the organization: the values are the latest response's.
	Mixed bool `json:"mixed,omitempty"`
}

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
}

// Report returns the accounts, the one with the latest response first.
func (a *Accounts) Report() []Account {
	now := time.Now()
	all := a.Save().Accounts
	for i := range all {
		slices.SortFunc(all[i].Windows, byRank)
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
	now := time.Now()
	maps.DeleteFunc(a.known, func(_ string, one *Account) bool { return one.isOld(now) })
	m := Saved{Key: slices.Clone(a.key), Accounts: make([]Account, 0, len(a.known))}
	for _, one := range a.known {
		c := *one
		c.Windows = slices.Clone(c.Windows)
		for i, w := range c.Windows {
			c.Windows[i].UsedBy = append([]Use{}, w.UsedBy...) // a list in JSON too
		}
		m.Accounts = append(m.Accounts, c)
	}
	return m
}

// Restore replaces everything by what another process remembered.
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
}

// Forget forgets all accounts and users, because the names of people are withheld from now on.
func (a *Accounts) Forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.known)
	clear(a.active)
}

// finish prepares the window for a report. After its reset, its values are unknown.
func (w *Window) finish(now time.Time) {
	if w.ended(now) {
		*w = Window{Name: w.Name, Status: Unknown, ResetsAt: w.ResetsAt, UsedBy: []Use{}, Mixed: w.Mixed}
		return
	}
	rest := 0.0
	if w.Utilization != nil {
		rest = *w.Utilization
		w.Utilization = new(rounded(rest))
	}
	for i := range w.UsedBy {
		u := &w.UsedBy[i].Utilization
		rest -= *u
		*u = rounded(*u)
	}
	w.Unknown = rounded(max(rest, 0))
	slices.SortFunc(w.UsedBy, func(a, b Use) int {
		return cmp.Or(cmp.Compare(b.Utilization, a.Utilization), cmp.Compare(a.Person, b.Person), cmp.Compare(a.Session, b.Session))
	})
}

// rounded rounds to four digits. The upstream sends two, and sums of floats have more.
func rounded(u float64) float64 { return math.Round(u*1e4) / 1e4 }
