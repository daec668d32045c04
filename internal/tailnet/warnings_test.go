package tailnet

import (
	"slices"
	"testing"
	"time"
)

// Pause is how long Follow waits by default after that many failures in a row.
func Pause(failures int) time.Duration { return New(Config{}).backoff(failures) }

func TestDebouncer(t *testing.T) {
	type reading struct {
		after time.Duration // since the first
		have  []string
		want  []string
	}
	tests := []struct {
		name     string
		readings []reading
	}{
		{"lasts", []reading{
			{0, []string{"a"}, nil},
			{9 * time.Second, []string{"a"}, nil},
			{10 * time.Second, []string{"a"}, []string{"a"}},
			{11 * time.Second, nil, nil},
		}},
		{"comes and goes", []reading{
			{0, []string{"a"}, nil},
			{6 * time.Second, nil, nil},
			{12 * time.Second, []string{"a"}, nil},
		}},
		{"two of different age", []reading{
			{0, []string{"b"}, nil},
			{5 * time.Second, []string{"a", "b"}, nil},
			{10 * time.Second, []string{"a", "b"}, []string{"b"}},
			{15 * time.Second, []string{"a", "b"}, []string{"a", "b"}},
		}},
		{"its number grows", []reading{
			{0, []string{"for 1s"}, nil},
			{10 * time.Second, []string{"for 11s"}, []string{"for 1s"}},
			{20 * time.Second, []string{"for 1m21s."}, []string{"for 1s"}},
		}},
		{"two that differ in a number", []reading{
			{0, []string{"relay 1", "relay 2"}, nil},
			{10 * time.Second, []string{"relay 1", "relay 2"}, []string{"relay 1", "relay 2"}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := debouncer{delay: 10 * time.Second}
			start := time.Now()
			for _, r := range tt.readings {
				if got := d.lasting(r.have, start.Add(r.after)); !slices.Equal(got, r.want) {
					t.Errorf("at %v: lasting(%q) = %q, want %q", r.after, r.have, got, r.want)
				}
			}
		})
	}
}
