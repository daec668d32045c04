package tailnet_test

import (
	"testing"
	"time"
)

func TestFollowGivesNoticeOfAKeysExpiry(t *testing.T) {
	const day = 24 * time.Hour
	d := startDaemon(t)
	reports := follow(t, quiet(d.socket))
	next(t, reports)
	watched(t, d)
	for _, step := range []struct {
		name         string
		left, notice time.Duration
	}{
		{"in a month", 30 * day, 0},
		{"in more than two weeks", 14*day + time.Hour, 0},
		{"in less than two weeks", 14*day - time.Minute, 14 * day},
		{"in more than three days", 3*day + time.Hour, 14 * day},
		{"in less than three days", 3*day - time.Minute, 3 * day},
		{"in a minute", time.Minute, 3 * day},
		{"expired", -time.Minute, 0},
	} {
		d.become(withKeyExpiry("Running", time.Now().Add(step.left)))
		if r := next(t, reports); r.KeyNotice != step.notice {
			t.Errorf("%s: notice %v, want %v", step.name, r.KeyNotice, step.notice)
		}
	}
}
