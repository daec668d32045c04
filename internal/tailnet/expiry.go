package tailnet

import (
	"fmt"
	"time"
)

// ExpiryWarning says that the node key expires soon (KeyNotices), and what mends it;
// empty while there is time, and when the key has expired already, which is more than
// a warning.
func (s Status) ExpiryWarning(now time.Time) string {
	if keyNotice(s, now) == 0 {
		return ""
	}
	return fmt.Sprintf("the node key expires in %s, at %s; run `tailscale up --force-reauth` on this host, or disable its key expiry in the admin console",
		roughly(s.KeyExpiry.Sub(now)), s.KeyExpiry.Format("2006-01-02 15:04 MST"))
}

// roughly is a duration for people: in days while there are two or more.
func roughly(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day {
		return fmt.Sprintf("%d days", d/day)
	}
	return fmt.Sprintf("%d hours", d/time.Hour)
}
