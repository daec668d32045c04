package tailnet

import (
	"slices"
	"strings"
	"time"
)

// debouncer holds health warnings back until they have lasted a while: many
// come and go as the network does.
type debouncer struct {
	delay time.Duration
	seen  map[string]sighting // by warningKey
}

// sighting is a warning with the text it first had, kept so that a duration
// in it that grows is no news.
type sighting struct {
	text     string
	since    time.Time
	reported bool
}

func newDebouncer(delay time.Duration) *debouncer {
	return &debouncer{delay: delay, seen: map[string]sighting{}}
}

// lasting takes the warnings of a reading at now and returns those that have
// lasted, sorted. One that is missing from a reading starts anew.
func (d *debouncer) lasting(warnings []string, now time.Time) []string {
	current := map[string]sighting{}
	var out []string
	for _, text := range warnings {
		key := warningKey(text)
		s, known := d.seen[key]
		if !known {
			s = sighting{text: text, since: now}
		}
		s.reported = now.Sub(s.since) >= d.delay
		if s.reported {
			out = append(out, s.text)
		}
		current[key] = s
	}
	d.seen = current
	slices.Sort(out)
	return slices.Compact(out)
}

// due is when the next warning will have lasted, zero if none is held back.
func (d *debouncer) due() time.Time {
	var due time.Time
	for _, s := range d.seen {
		if at := s.since.Add(d.delay); !s.reported && (due.IsZero() || at.Before(due)) {
			due = at
		}
	}
	return due
}

// warningKey is the text without the durations in it.
func warningKey(text string) string {
	words := slices.DeleteFunc(strings.Fields(text), func(word string) bool {
		_, err := time.ParseDuration(strings.Trim(word, ".,;:()"))
		return err == nil
	})
	return strings.Join(words, " ")
}
