package ratelimit_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/ratelimit"
)

func TestAbsurdValuesAreIgnored(t *testing.T) {
	const sound = "5h allowed 0.5, unknown 0.5\n"
	for name, c := range map[string]struct {
		said []string
		want string
	}{
		"not a number":       {[]string{"5h-utilization NaN"}, sound},
		"negative":           {[]string{"5h-utilization -1"}, sound},
		"huge":               {[]string{"5h-utilization 1e308"}, sound},
		"infinite":           {[]string{"5h-utilization Inf"}, sound},
		"a token for a name": {[]string{"sk-ant-oat01-x-utilization 0.1"}, sound},
		"a word":             {[]string{"5h-utilization much", "5h-status allowed"}, sound},
		"the year 9999":      {[]string{"5h-utilization 0.5", "5h-reset 253402300799", "5h-status allowed"}, sound},
		"before 1970":        {[]string{"5h-utilization 0.5", "5h-reset -9223372036854775808", "5h-status allowed"}, sound},
		"an unknown status":  {[]string{"5h-status on fire"}, "5h other 0.5, unknown 0.5\n"},
		"names that are none": {
			[]string{"\x1b[2J-utilization 0.1", strings.Repeat("x", 100) + "-utilization 0.1", "-utilization 0.1", "UP-status"}, sound,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := ratelimit.New()
			a.Seen(headers("org", "5h-utilization 0.5", "5h-status allowed"), user("alice/s1")).End()
			a.Seen(headers("org", c.said...), user("bob/s2")).End()
			if got := table(a); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Memory is bounded, whatever the upstream says and however many clients ask.
func TestMemoryIsBounded(t *testing.T) {
	a := ratelimit.New()
	for i := range 2000 {
		h := headers("org", fmt.Sprintf("5h-utilization %v", float64(i)/1000))
		for j := range 100 {
			h.Set(fmt.Sprintf("anthropic-ratelimit-unified-w%d-%d-utilization", i, j), "0.5")
		}
		a.Seen(h, user(fmt.Sprintf("%d/s", i))).End()
		a.Seen(headers(fmt.Sprint("other", i), "status allowed"), user("alice/s1"))
		a.Seen(headers("org", "status allowed"), user(fmt.Sprintf("%d/open", i))) // never ends
	}
	if n := ratelimit.ActiveUsers(a); n > 512 {
		t.Errorf("%d users with requests", n)
	}
	report := a.Report()
	if len(report) != 200 {
		t.Errorf("%d accounts", len(report))
	}
	for _, account := range report {
		if len(account.Windows) > 12 {
			t.Errorf("%d windows", len(account.Windows))
		}
		for _, w := range account.Windows {
			if len(w.UsedBy) > 128 {
				t.Errorf("%d users", len(w.UsedBy))
			}
		}
	}
}

// A person's total stays exact, however many sessions the person or others have.
func TestSessionsAreJoined(t *testing.T) {
	a := ratelimit.New()
	used := 0.0
	use := func(by string) {
		used += 0.001
		a.Seen(headers("org", fmt.Sprintf("5h-utilization %.3f", used)), user(by)).End()
	}
	use("first/s")
	for i := range 300 {
		use(fmt.Sprintf("alice/%d", i))
	}
	for i := range 120 {
		use(fmt.Sprintf("%d/%d", i%40, i))
	}
	w := a.Report()[0].Windows[0]
	people := make(map[string]float64)
	for _, u := range w.UsedBy {
		people[u.Person] += u.Utilization
	}
	if len(people) != 41 || math.Abs(people["alice"]-0.3) > 1e-9 || math.Abs(people["7"]-0.003) > 1e-9 || w.Unknown != 0.001 {
		t.Errorf("%d people, alice %v, 7 %v, %v unknown", len(people), people["alice"], people["7"], w.Unknown)
	}
}

func TestPeopleBeyondTheBoundAreUnknown(t *testing.T) {
	a := ratelimit.New()
	for i := range 138 {
		a.Seen(headers("org", fmt.Sprintf("5h-utilization %v", float64(i*i)/10000)), user(fmt.Sprintf("%d/s", i))).End()
	}
	w := a.Report()[0].Windows[0]
	if len(w.UsedBy) != 128 || w.UsedBy[0].Person != "128" || w.Unknown != 0.2385 { // those of 129 to 137
		t.Errorf("%d users, the first %+v, %v unknown", len(w.UsedBy), w.UsedBy[0], w.Unknown)
	}
}

// FuzzHeaders: whatever a response says, what is kept can be shown and handed over.
func FuzzHeaders(f *testing.F) {
	for _, s := range [][2]string{
		{"unified-5h-utilization", "0.5"},
		{"unified-5h-reset", "253402300799"},
		{"unified--status", "x"},
		{"requests-limit", "-1"},
		{"tokens-reset", "9999-12-31T23:59:59Z"},
		{"unified-7d_oi-status", "rejected"},
		{"unified-representative-claim", "five_hour"},
		{"unified-overage-disabled-reason", "\x1b[2J"},
	} {
		f.Add(s[0], s[1], "0.4")
	}
	f.Fuzz(func(t *testing.T, name, value, utilization string) {
		a := ratelimit.New()
		for _, u := range []string{"0.3", utilization} {
			h := headers("org", "5h-utilization "+u)
			h.Set("requests-limit", "50")
			h.Set("anthropic-ratelimit-"+name, value)
			a.Seen(h, user("alice/s1")).End()
		}
		text, err := json.Marshal(a.Save())
		if err != nil {
			t.Fatal(err)
		}
		var saved ratelimit.Saved
		if err := json.Unmarshal(text, &saved); err != nil {
			t.Fatal(err)
		}
		var windows []ratelimit.Window
		for _, account := range a.Report() {
			windows = append(windows, account.Windows...)
		}
		for _, w := range windows {
			sum := w.Unknown
			for _, u := range w.UsedBy {
				sum += u.Utilization
			}
			if sum < 0 || sum > 10.001 || w.ResetsAt.Year() > 9999 || len(w.Name) > 40 {
				t.Errorf("%s", text)
			}
		}
	})
}

func BenchmarkSeen(b *testing.B) {
	a := ratelimit.New()
	h := headers("org", "status allowed", "reset "+in(time.Hour), "representative-claim five_hour", "5h-status allowed",
		"5h-utilization 0.5", "5h-reset "+in(time.Hour), "7d-status allowed", "7d-utilization 0.5", "7d-reset "+in(time.Hour),
		"overage-status rejected", "overage-disabled-reason org_level_disabled")
	for i := range 15 {
		h.Set(fmt.Sprint("X-Other-", i), "value")
	}
	b.ReportAllocs()
	for b.Loop() {
		a.Seen(h, user("alice/s1")).End()
	}
}
