package tailnet

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// debouncer holds health warnings back until they have lasted a while, because many come and go
// with the network.
type debouncer struct {
	delay time.Duration
	seen  map[string]sighting // by warningKey
}

// sighting is the first text of a warning, so that a growing duration in it is no change.
type sighting struct {
	text  string
	since time.Time
}

// lasting takes the warnings of a reading at now and returns those that have lasted, sorted. A
// warning that was missing from a reading starts again.
func (d *debouncer) lasting(warnings []string, now time.Time) []string {
	current := map[string]sighting{}
	var out []string
	for _, text := range warnings {
		key := warningKey(text)
		s, known := d.seen[key]
		if !known {
			s = sighting{text: text, since: now}
		}
		if now.Sub(s.since) >= d.delay {
			out = append(out, s.text)
		}
		current[key] = s
	}
	d.seen = current
	slices.Sort(out)
	return slices.Compact(out)
}

// warningKey returns the text without durations.
func warningKey(text string) string {
	words := slices.DeleteFunc(strings.Fields(text), func(word string) bool {
		_, err := time.ParseDuration(strings.Trim(word, ".,;:()"))
		return err == nil
	})
	return strings.Join(words, " ")
}

const day = 24 * time.Hour

// keyNotice returns the shorter of 14 and 3 days within which the key expires; 0: neither.
func (s Status) keyNotice(now time.Time) time.Duration {
	switch left := s.KeyExpiry.Sub(now); {
	case s.KeyExpiry.IsZero(), s.KeyExpired, left <= 0, left > 14*day:
		return 0
	case left > 3*day:
		return 14 * day
	default:
		return 3 * day
	}
}

// ExpiryWarning says that the node key expires within two weeks, and how to renew it. It is empty
// if the key expires later, or has expired already, which is an error.
func (s Status) ExpiryWarning(now time.Time) string {
	if s.keyNotice(now) == 0 {
		return ""
	}
	left := s.KeyExpiry.Sub(now)
	in := fmt.Sprintf("%d hours", left/time.Hour)
	if left >= 2*day {
		in = fmt.Sprintf("%d days", left/day)
	}
	return fmt.Sprintf("the node key expires in %s, at %s; run `tailscale up --force-reauth` on this host, or disable its key expiry in the admin console",
		in, s.KeyExpiry.Format("2006-01-02 15:04 MST"))
}
