package ratelimit

import (
	"cmp"
	"slices"
	"time"
)

const (
	// maxUses bounds the people and sessions that are remembered for a window.
	maxUses = 128
	// resetSlack is how much the reset of one window may differ between responses.
	resetSlack = time.Minute
	// skew is how much lower the utilization may be than before, because the upstream's servers
	// differ, or because a later response has overtaken this one.
	skew = 0.05
)

// ended reports whether the window has reset since the last response.
func (w *Window) ended(now time.Time) bool { return !w.ResetsAt.IsZero() && !now.Before(w.ResetsAt) }

// observe takes over a response's values, and attributes a rise to its owner.
func (w *Window) observe(reported Window, now time.Time, owner func() (by User, known bool)) {
	moved := reported.ResetsAt.Sub(w.ResetsAt)
	if reported.ResetsAt.IsZero() || w.ResetsAt.IsZero() {
		moved = 0
	}
	rise := 0.0
	if reported.Utilization != nil && w.Utilization != nil {
		rise = *reported.Utilization - *w.Utilization
	}
	switch {
	case isKeyWindow(reported.Name), w.ended(now): // the response shows a new window
		*w = Window{Name: w.Name, Mixed: w.Mixed}
	case reported.ended(now) && moved < 0: // the response is older than the window
		return
	case w.Mixed: // nobody's
	case moved > resetSlack, rise < -skew && w.ResetsAt.IsZero(): // the window began again
		*w = Window{Name: w.Name}
	case moved < -resetSlack, rise < -skew: // the response shows another seat's window
		*w = Window{Name: w.Name, Mixed: true}
	case rise < 0: // the response is late
		reported.Utilization = nil
	case rise > 0:
		if by, known := owner(); known {
			w.use(by, rise)
		}
	}
	w.take(reported)
}

// take takes over the values of the latest response.
func (w *Window) take(reported Window) {
	w.Status, w.Limit, w.Remaining = reported.Status, reported.Limit, reported.Remaining
	if reported.Utilization != nil {
		w.Utilization = reported.Utilization
	}
	w.ResetsAt = cmp.Or(reported.ResetsAt, w.ResetsAt)
}

// use adds to what a user used. At the bound, the sessions of each person are joined. If that is
// not enough, a new user's part stays unknown.
func (w *Window) use(by User, utilization float64) {
	if w.add(by, utilization) {
		return
	}
	all := append(w.UsedBy, Use{by, utilization})
	w.UsedBy = nil
	for _, u := range all {
		w.add(User{Person: u.Person}, u.Utilization)
	}
}

// add adds to what a user used, and reports whether there is room for that user.
func (w *Window) add(by User, utilization float64) bool {
	i := slices.IndexFunc(w.UsedBy, func(u Use) bool { return u.User == by })
	if i < 0 {
		if len(w.UsedBy) >= maxUses {
			return false
		}
		i = len(w.UsedBy)
		w.UsedBy = append(w.UsedBy, Use{User: by})
	}
	w.UsedBy[i].Utilization += utilization
	return true
}
