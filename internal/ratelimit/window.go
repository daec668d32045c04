package ratelimit

import (
	"cmp"
	"slices"
	"time"
)

const (
	// maxUses bounds the people and sessions that are remembered for a window.
	maxUses = 128
	// maxRises bounds the remembered rises of a window. Only those while a request waits for its
	// response are needed.
	maxRises = 16
	// resetSlack is how much the reset of one window may differ between responses.
	resetSlack = time.Minute
	// skew is how much the utilization may differ between the upstream's servers.
	skew = 0.02
)

// rise is a rise of the utilization that was attributed.
type rise struct {
	at          time.Time
	by          User
	utilization float64
}

// ended reports whether the window has reset since the last response.
func (w *Window) ended(now time.Time) bool { return !w.ResetsAt.IsZero() && !now.Before(w.ResetsAt) }

// observe takes over a response's values and attributes a rise.
func (w *Window) observe(reported Window, s sighting, now time.Time) {
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
	switch {
	case isKeyWindow(reported.Name), w.ended(now):
		*w = Window{Name: w.Name, MixedUntil: w.MixedUntil}
	case reported.ended(now) && moved < 0:
		return // the response is older than the window
	case w.isMixed():
	case moved > resetSlack, rise < 0 && w.ResetsAt.IsZero() && !s.overlapped():
		*w = Window{Name: w.Name} // it began again
	case moved < -resetSlack, rise < -skew && !s.overlapped():
		*w = Window{Name: w.Name, MixedUntil: cmp.Or(w.ResetsAt, now.Add(accountLife))}
	case rise < 0:
		reported.Utilization = nil // a later response has overtaken this one
	case rise > 0:
		w.attribute(rise, s.suspects(w), now)
	}
	w.take(reported)
	if s.sent.After(w.seen) && w.Utilization != nil {
		w.seen = s.sent
	}
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

// attribute attributes a rise to the user who caused it, or to several.
func (w *Window) attribute(utilization float64, by suspects, now time.Time) {
	if len(by.others) > 0 {
		w.Shared += utilization
		w.name(append(by.others, by.owner)...)
		return
	}
	w.use(by.owner, utilization)
	if len(w.rises) >= maxRises {
		w.rises = slices.Delete(w.rises, 0, 1)
	}
	w.rises = append(w.rises, rise{now, by.owner, utilization})
}

// share corrects the rises since the time t: a request that has been in flight since then turned
// out to be on the account, so its user may have caused them.
func (w *Window) share(user User, t time.Time) {
	for i := range w.rises {
		r := &w.rises[i]
		shared, both := !r.by.isPerson(user), r.by.with(user)
		at := slices.IndexFunc(w.UsedBy, func(u Use) bool { return u.User == r.by })
		if !r.at.After(t) || !shared && both == r.by || at < 0 { // or it was dropped
			continue
		}
		if w.UsedBy[at].Utilization -= r.utilization; w.UsedBy[at].Utilization < 1e-9 {
			w.UsedBy = slices.Delete(w.UsedBy, at, at+1)
		}
		if shared {
			w.Shared += r.utilization
			w.name(r.by, user)
			r.utilization = 0
		} else {
			r.by = both
			w.use(both, r.utilization)
		}
	}
}

// name adds to the people of whom some caused a shared rise.
func (w *Window) name(users ...User) {
	for _, u := range users {
		u.Session = ""
		if u.Person != "" && len(w.SharedBy) < maxUses && !slices.Contains(w.SharedBy, u) {
			w.SharedBy = append(w.SharedBy, u)
		}
	}
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
		dropped.Session = ""
		w.use(dropped.User, dropped.Utilization)
	}
}
