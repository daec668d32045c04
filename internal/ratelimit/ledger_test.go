package ratelimit_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"oauth-proxyd/internal/ratelimit"
)

// ledger is an upstream that knows who used what, and the requests on their way to it and back.
type ledger struct {
	t        *rapid.T
	accounts *ratelimit.Accounts
	used     map[string]map[ratelimit.User]float64 // by account and window
	flights  []*flight
}

// flight is a request. Its header is as the upstream sent it, maybe before those of others that
// arrive earlier.
type flight struct {
	user            ratelimit.User
	account, window string
	request         *ratelimit.Request
	header          http.Header // nil: not sent yet
	arrived         bool
}

func (f *flight) key() string { return f.account + " " + f.window }

func draw[T any](l *ledger, name string, from ...T) T { return rapid.SampledFrom(from).Draw(l.t, name) }

// send sends a request of a user, who always uses the same account.
func (l *ledger) send() {
	name, account, _ := strings.Cut(draw(l, "user", "alice/1 a", "alice/2 a", "alice/3 b", "bob/1 a", "bob/2 b", "carol/ a", "dave/1 b"), " ")
	f := &flight{user: user(name), account: account, window: draw(l, "window", "5h", "5h", "7d_opus")}
	f.request = l.accounts.Sent(f.user)
	l.flights = append(l.flights, f)
}

func (l *ledger) use(f *flight) {
	if l.used[f.key()] == nil {
		l.used[f.key()] = make(map[ratelimit.User]float64)
	}
	l.used[f.key()][f.user] += draw(l, "use", 0, 0.001, 0.002)
}

// total returns what was used of a window, by all or by one person.
func (l *ledger) total(key, person string) (sum float64) {
	for by, u := range l.used[key] {
		if person == "" || by.Person == person {
			sum += u
		}
	}
	return sum
}

// step moves a request on.
func (l *ledger) step(f *flight) {
	switch {
	case f.header == nil:
		l.use(f)
		f.header = headers(f.account, fmt.Sprintf("%s-utilization %.3f", f.window, l.total(f.key(), "")), "representative-claim "+f.account)
	case !f.arrived:
		f.arrived = true
		f.request.Responded(f.header, f.user)
	default:
		l.end(f)
	}
}

func (l *ledger) end(f *flight) {
	f.request.End()
	i := slices.Index(l.flights, f)
	l.flights = slices.Delete(l.flights, i, i+1)
}

// check compares the report with the ledger.
func (l *ledger) check() {
	for _, a := range l.accounts.Report() {
		for _, w := range a.Windows {
			key, people := a.Claim+" "+w.Name, make(map[string]float64)
			for _, u := range w.UsedBy {
				people[u.Person] += u.Utilization
				if most := l.used[key][u.User]; u.Session != "" && u.Utilization > most+1e-6 {
					l.t.Fatalf("%s: %+v, not %v", key, u, most)
				}
			}
			for person, used := range people {
				if most := l.total(key, person); used > most+1e-6 {
					l.t.Fatalf("%s: %s used %v, not %v", key, person, used, most)
				}
			}
		}
	}
}

// Nobody is named for what others used, in whatever order requests are sent, counted and seen.
func TestNobodyIsNamedForOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &ledger{t: t, accounts: ratelimit.New(), used: make(map[string]map[ratelimit.User]float64)}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			if len(l.flights) == 0 || len(l.flights) < 4 && draw(l, "send", true, false) {
				l.send()
			} else {
				l.step(draw(l, "request", l.flights...))
			}
		}
		l.check()
	})
}
