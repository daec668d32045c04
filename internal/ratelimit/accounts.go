package ratelimit

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxAccounts bounds the memory that an upstream can make us use.
	maxAccounts = 200
	// accountLife is how long an account is remembered after its last response.
	accountLife = 8 * time.Hour
	// maxUses bounds the people and sessions that are remembered for a window.
	maxUses = 128
	// maxActive bounds the remembered users who had requests in flight lately. With so many, nearly
	// every rise is shared anyway.
	maxActive = 256
	// resetSlack is how much the reset of one window may differ between responses.
	resetSlack = time.Minute
	// skew is how much the utilization may differ between the upstream's servers.
	skew = 0.02
)

// Accounts remembers what the upstream reported about accounts. It is safe for concurrent use.
type Accounts struct {
	mu     sync.Mutex
	key    []byte // of the hashes of organizations
	known  map[string]*Account
	active []*activity
}

// activity counts the requests of one user on one account.
type activity struct {
	by      User
	account *Account  // nil: not known yet, because the response has not begun
	open    int       // in flight
	until   time.Time // when the last of them ended
}

// New returns an empty Accounts.
func New() *Accounts {
	a := &Accounts{key: make([]byte, sha256.Size), known: make(map[string]*Account)}
	_, _ = rand.Read(a.key) // never fails (crypto/rand)
	return a
}

// Request is a request in flight.
type Request struct {
	accounts *Accounts
	sent     time.Time
	activity *activity // that counts it; nil: none
}

// Sent records that a request by this user is being sent. [Request.End] must be called.
func (a *Accounts) Sent(by User) *Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &Request{accounts: a, sent: time.Now(), activity: a.begin(by, nil)}
}

// Responded reads the header of the response, and returns the ID of the account that the request
// uses, or "" if it uses none. by may be named in another way than before, because a reload can
// withhold names.
func (r *Request) Responded(h http.Header, by User) (account string) {
	a, now := r.accounts, time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	r.activity.open--
	r.activity = nil
	organization, windows := h.Get(organizationHeader), windowsIn(h, now)
	if organization == "" || len(windows) == 0 {
		return ""
	}
	one := a.account(organization, now)
	attribution := a.attribute(one, by, r.sent)
	one.LastResponse = now.UTC()
	one.readAccount(h)
	for _, reported := range windows {
		if w := one.window(reported.Name); w != nil {
			w.observe(reported, attribution, now)
		}
	}
	r.activity = a.begin(by, one)
	return one.ID
}

// End ends the request, once. It may be nil.
func (r *Request) End() {
	if r == nil {
		return
	}
	r.accounts.mu.Lock()
	defer r.accounts.mu.Unlock()
	if r.activity != nil {
		r.activity.open--
		r.activity.until = time.Now()
		r.activity = nil
	}
}

// account returns the account of an organization, and adds it if necessary. The caller holds mu, as
// in all functions below.
func (a *Accounts) account(organization string, now time.Time) *Account {
	const shown = 6 // bytes; enough to tell the accounts of one host apart
	hash := sha256.Sum256(append(a.key[:len(a.key):len(a.key)], organization...))
	id := hex.EncodeToString(hash[:shown])
	one := a.known[id]
	if one == nil || one.isOld(now) {
		one = &Account{ID: id}
		if a.known[id] == nil && len(a.known) >= maxAccounts {
			a.forgetOldest()
		}
		a.known[id] = one
	}
	return one
}

func (a *Accounts) forgetOldest() {
	var oldest *Account
	for _, one := range a.known {
		if oldest == nil || one.LastResponse.Before(oldest.LastResponse) {
			oldest = one
		}
	}
	delete(a.known, oldest.ID)
}

func (a *Accounts) forgetOld(now time.Time) {
	for id, one := range a.known {
		if one.isOld(now) {
			delete(a.known, id)
		}
	}
}

func (a *Account) isOld(now time.Time) bool { return now.Sub(a.LastResponse) >= accountLife }

// readAccount reads the headers about the account as a whole.
func (a *Account) readAccount(h http.Header) {
	if claim := word(h.Get(unifiedPrefix + "Representative-Claim")); claim != "" {
		a.Claim = strings.Clone(claim)
	}
	if h.Get(unifiedPrefix+"Overage-Status") != "" {
		a.OverageInUse = h.Get(unifiedPrefix+"Overage-In-Use") == "true"
		a.OverageDisabled = strings.Clone(word(h.Get(unifiedPrefix + "Overage-Disabled-Reason")))
	}
}

// window returns a window, and adds it if necessary; nil if there are too many.
func (a *Account) window(name string) *Window {
	i := slices.IndexFunc(a.Windows, func(w Window) bool { return w.Name == name })
	if i < 0 {
		if len(a.Windows) >= maxWindows {
			return nil
		}
		i = len(a.Windows)
		a.Windows = append(a.Windows, Window{Name: strings.Clone(name)}) // a substring would keep the whole header
	}
	return &a.Windows[i]
}

// attribution says who caused the rise that a response shows.
type attribution struct {
	owner      User
	shared     bool // it may have been another person
	overlapped bool // another response was in flight, of any user
}

// attribute decides who caused the rise that a response about the account one shows. by sent its
// request at the time sent. Users with a request in flight since then, or with one that has ended
// without a response since the last response, may have caused it, too.
func (a *Accounts) attribute(one *Account, by User, sent time.Time) attribution {
	result := attribution{owner: by}
	consider := func(other User) {
		result.shared = result.shared || !other.isPerson(by)
		if other.Session != by.Session {
			result.owner.Session = ""
		}
	}
	last := one.LastResponse
	if last.After(sent) {
		last = sent
	}
	for _, other := range a.active {
		switch {
		case other.account == one && other.since(sent):
			result.overlapped = true
			consider(other.by)
		case other.account == nil && other.since(last) && a.mayUse(one, other.by):
			consider(other.by)
		}
	}
	return result
}

// mayUse reports whether by may be using the account one: by has used it before, or has used no
// other.
func (a *Accounts) mayUse(one *Account, by User) bool {
	elsewhere := false
	for _, other := range a.active {
		switch {
		case other.account == nil || !other.by.isPerson(by):
		case other.account == one:
			return true
		default:
			elsewhere = true
		}
	}
	return !elsewhere
}

// since reports whether a request was in flight at the time t or later.
func (a *activity) since(t time.Time) bool { return a.open > 0 || a.until.After(t) }

// begin counts a request of by on an account. Beyond maxActive, it drops a user without a request
// in flight, otherwise the oldest.
func (a *Accounts) begin(by User, on *Account) *activity {
	i := slices.IndexFunc(a.active, func(one *activity) bool { return one.account == on && one.by == by })
	if i < 0 {
		if len(a.active) >= maxActive {
			idle := slices.IndexFunc(a.active, func(one *activity) bool { return one.open == 0 })
			a.active = slices.Delete(a.active, max(idle, 0), max(idle, 0)+1)
		}
		i = len(a.active)
		a.active = append(a.active, &activity{by: by, account: on})
	}
	a.active[i].open++
	return a.active[i]
}

// ended reports whether the window has reset since the last response.
func (w *Window) ended(now time.Time) bool { return !w.ResetsAt.IsZero() && !now.Before(w.ResetsAt) }

// observe takes over a response's values and attributes a rise.
func (w *Window) observe(reported Window, by attribution, now time.Time) {
	moved := reported.ResetsAt.Sub(w.ResetsAt)
	if reported.ResetsAt.IsZero() || w.ResetsAt.IsZero() {
		moved = 0
	}
	rise := 0.0
	if reported.Utilization != nil && w.Utilization != nil {
		rise = *reported.Utilization - *w.Utilization
	}
	if !now.Before(w.MixedUntil) {
		w.MixedUntil = time.Time{}
	}
	beganAgain := rise < 0 && (moved > resetSlack || w.ResetsAt.IsZero() && !by.overlapped)
	switch {
	case isKeyWindow(reported.Name), w.ended(now):
		*w = Window{Name: w.Name, MixedUntil: w.MixedUntil}
	case reported.ended(now) && moved < 0:
		return // the response is older than the window
	case w.isMixed():
	case beganAgain:
		*w = Window{Name: w.Name}
	case moved < -resetSlack, rise < -skew && !by.overlapped:
		*w = Window{Name: w.Name, MixedUntil: cmp.Or(w.ResetsAt, now.Add(accountLife))}
	case rise < 0:
		reported.Utilization = nil // a later response has overtaken this one
	case rise > 0 && by.shared:
		w.Shared += rise
	case rise > 0:
		w.use(by.owner, rise)
	}
	w.take(reported)
	if w.isMixed() && reported.ResetsAt.After(w.MixedUntil) {
		w.MixedUntil = reported.ResetsAt
	}
}

// take takes over the values of the latest response.
func (w *Window) take(reported Window) {
	w.Status, w.Limit, w.Remaining = reported.Status, reported.Limit, reported.Remaining
	if reported.Utilization != nil {
		w.Utilization = reported.Utilization
	}
	w.ResetsAt = cmp.Or(reported.ResetsAt, w.ResetsAt)
}

// use adds to what a user used.
func (w *Window) use(by User, utilization float64) {
	i := slices.IndexFunc(w.UsedBy, func(u Use) bool { return u.User == by })
	if i < 0 {
		for len(w.UsedBy) >= maxUses {
			w.dropSmallest()
		}
		i = len(w.UsedBy)
		w.UsedBy = append(w.UsedBy, Use{User: by})
	}
	w.UsedBy[i].Utilization += utilization
}

// dropSmallest adds what the session that used least used to its person's other sessions. Without
// sessions, it drops the person who used least, and what that person used becomes unknown.
func (w *Window) dropSmallest() {
	smallest := 0
	for i, u := range w.UsedBy {
		least := w.UsedBy[smallest]
		if u.Session != "" && least.Session == "" || (u.Session == "") == (least.Session == "") && u.Utilization < least.Utilization {
			smallest = i
		}
	}
	dropped := w.UsedBy[smallest]
	w.UsedBy = slices.Delete(w.UsedBy, smallest, smallest+1)
	if dropped.Session != "" {
		w.use(User{Person: dropped.Person}, dropped.Utilization)
	}
}
