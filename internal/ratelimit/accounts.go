package ratelimit

import (
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
)

// Accounts remembers what the upstream reported about accounts. It is safe for concurrent use.
type Accounts struct {
	mu     sync.Mutex
	key    []byte // of the hashes of organizations
	known  map[string]*Account
	active map[User]*activity
}

// New returns an empty Accounts.
func New() *Accounts {
	a := &Accounts{key: make([]byte, sha256.Size), known: make(map[string]*Account), active: make(map[User]*activity)}
	_, _ = rand.Read(a.key) // never fails (crypto/rand)
	return a
}

// Request is a request in flight.
type Request struct {
	accounts *Accounts
	sent     time.Time
	activity *activity // that counts it; nil: it uses no account
}

// Sent records that a request by this user is being sent. [Request.End] must be called.
func (a *Accounts) Sent(by User) *Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &Request{accounts: a, sent: time.Now(), activity: a.begin(by)}
}

// Responded reads the header of the response, and returns the ID of the account that the request
// uses, or "" if it uses none. by may be named in another way than before, because a reload can
// withhold names.
func (r *Request) Responded(h http.Header, by User) (account string) {
	a, now := r.accounts, time.Now()
	organization, windows := h.Get(organizationHeader), windowsIn(h, now)
	a.mu.Lock()
	defer a.mu.Unlock()
	r.activity.open--
	r.activity = nil
	if organization == "" || len(windows) == 0 {
		return "" // it used no account
	}
	id := a.hash(organization)
	one := a.account(id, now)
	one.read(h, now)
	for _, reported := range windows {
		if w := one.window(reported.Name); w != nil {
			w.observe(reported, now, func() (User, bool) { return a.owner(id, by, r.sent) })
		}
	}
	r.activity = a.begin(by)
	r.activity.account = id
	return id
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

// hash returns the ID of an organization's account. The caller holds mu, as in all functions below.
func (a *Accounts) hash(organization string) string {
	const shown = 6 // bytes; enough to tell the accounts of one host apart
	hash := sha256.Sum256(append(a.key[:len(a.key):len(a.key)], organization...))
	return hex.EncodeToString(hash[:shown])
}

// account returns an account, and adds it if necessary.
func (a *Accounts) account(id string, now time.Time) *Account {
	one := a.known[id]
	if one == nil || one.isOld(now) {
		one = &Account{ID: id}
		if a.known[id] == nil && len(a.known) >= maxAccounts {
			for other := range a.known {
				delete(a.known, other)
				break
			}
		}
		a.known[id] = one
	}
	return one
}

func (a *Account) isOld(now time.Time) bool { return now.Sub(a.LastResponse) >= accountLife }

// read reads the headers about the account as a whole.
func (a *Account) read(h http.Header, now time.Time) {
	a.LastResponse = now.UTC()
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
