package tailnet

import "time"

// KeyNotices are the remaining lives of a node key at which its expiry is worth a
// notice, the longest first: two weeks, in which somebody can plan it, and three days.
func KeyNotices() []time.Duration {
	const day = 24 * time.Hour
	return []time.Duration{14 * day, 3 * day}
}

func keyNotice(s Status, now time.Time) (notice time.Duration) {
	left := s.KeyExpiry.Sub(now)
	if s.KeyExpiry.IsZero() || s.KeyExpired || left <= 0 {
		return 0
	}
	for _, n := range KeyNotices() {
		if left <= n {
			notice = n
		}
	}
	return notice
}
