package ratelimit_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"oauth-proxyd/internal/ratelimit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// headers are those of a response: "5h-utilization 0.1", and whose account it is.
func headers(account string, unified ...string) http.Header {
	h := http.Header{"Anthropic-Organization-Id": {account}}
	for _, one := range unified {
		name, value, _ := strings.Cut(one, " ")
		h.Set("anthropic-ratelimit-unified-"+name, value)
	}
	return h
}

// in is the reset of a window after d.
func in(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }

func user(name string) ratelimit.User {
	person, session, _ := strings.Cut(name, "/")
	return ratelimit.User{Person: person, Session: session}
}

// table is the windows of all accounts, a line each: "5h allowed 0.3, alice/s1 0.1, unknown 0.2".
func table(a *ratelimit.Accounts) string {
	var text strings.Builder
	for _, account := range a.Report() {
		for _, w := range account.Windows {
			fmt.Fprintf(&text, "%s %s", w.Name, w.Status)
			if w.Utilization != nil {
				fmt.Fprintf(&text, " %v", *w.Utilization)
			}
			for _, u := range w.UsedBy {
				fmt.Fprintf(&text, ", %s/%s %v", u.Person, u.Session, u.Utilization)
			}
			if w.Unknown != 0 {
				fmt.Fprintf(&text, ", unknown %v", w.Unknown)
			}
			if w.Mixed {
				text.WriteString(", mixed")
			}
			text.WriteString("\n")
		}
	}
	return text.String()
}

// script is responses of one account, in order. A line is "USER: HEADERS", or "USER begins:
// HEADERS" and later "USER ends" for a response that takes long, or "wait DURATION". After "USER
// sends", the next response of the user has been waited for since then; "USER ends" without one is
// a request without a response. "USER: -" is a response without these headers, and "USER: account b
// 5h 0.1" one of another account.
type script struct {
	*ratelimit.Accounts
	open map[string]*ratelimit.Request
	sent map[string]*ratelimit.Request
}

func newScript() *script {
	return &script{ratelimit.New(), make(map[string]*ratelimit.Request), make(map[string]*ratelimit.Request)}
}

func (s *script) play(lines ...string) string {
	for _, line := range lines {
		time.Sleep(time.Second)
		if d, ok := strings.CutPrefix(line, "wait "); ok {
			pause, _ := time.ParseDuration(d)
			time.Sleep(pause)
			continue
		}
		if name, ok := strings.CutSuffix(line, " ends"); ok {
			s.open[name].End()
			s.sent[name].End()
			continue
		}
		if name, ok := strings.CutSuffix(line, " sends"); ok {
			s.sent[name] = s.Sent(user(name))
			continue
		}
		name, said, _ := strings.Cut(line, ": ")
		name, begins := strings.CutSuffix(name, " begins")
		r, sent := s.sent[name]
		if !sent {
			r = s.Sent(user(name))
		}
		delete(s.sent, name)
		time.Sleep(time.Second)
		r.Responded(resolved(said), user(name))
		if begins {
			s.open[name] = r
		} else {
			r.End()
		}
	}
	return table(s.Accounts)
}

// resolved has the headers of "5h 0.1 reset 3h".
func resolved(said string) http.Header {
	account := "org"
	if other, ok := strings.CutPrefix(said, "account "); ok {
		account, said, _ = strings.Cut(other, " ")
	}
	words := strings.Fields(said)
	window := words[0]
	if window == "-" {
		return http.Header{}
	}
	all := []string{window + "-status allowed"}
	if words[1] != "-" {
		all = append(all, window+"-utilization "+words[1])
	}
	if len(words) > 3 {
		d, _ := time.ParseDuration(words[3])
		all = append(all, window+"-reset "+in(d))
	}
	return headers(account, all...)
}

// scriptCase is a script and the table that comes of it.
type scriptCase struct {
	lines []string
	want  string
}

func playAll(t *testing.T, cases map[string]scriptCase) {
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := newScript().play(c.lines...); got != c.want {
					t.Errorf("got\n%swant\n%s", got, c.want)
				}
			})
		})
	}
}

func TestRisesAreAttributed(t *testing.T) {
	playAll(t, map[string]scriptCase{
		"one after the other": {
			[]string{"alice/s1: 5h 0.1", "alice/s1: 5h 0.2", "bob/s2: 5h 0.25", "alice/s3: 5h 0.26", "alice/s1: 5h 0.36"},
			"5h allowed 0.36, alice/s1 0.2, bob/s2 0.05, alice/s3 0.01, unknown 0.1\n",
		},
		"nothing used, nothing attributed": {
			[]string{"alice/s1: 5h 0.1", "bob/s2: 5h 0.1", "bob/s2: 5h -"}, "5h allowed 0.1, unknown 0.1\n",
		},
		"while another person's request is in flight": {
			[]string{"alice/s1 begins: 5h 0.1", "bob/s2: 5h 0.3", "alice/s1 ends", "bob/s2: 5h 0.4"},
			"5h allowed 0.4, bob/s2 0.1, unknown 0.3\n",
		},
		"while another person's request ended": {
			[]string{"alice/s1 begins: 5h 0.1", "bob/s2 sends", "alice/s1 ends", "bob/s2: 5h 0.3", "bob/s2: 5h 0.4"},
			"5h allowed 0.4, bob/s2 0.1, unknown 0.3\n",
		},
		"while another session of the same person is": {
			[]string{"alice/s1 begins: 5h 0.1", "alice/s2: 5h 0.3", "alice/s1 ends"}, "5h allowed 0.3, alice/ 0.2, unknown 0.1\n",
		},
		"while another request of the same session is": {
			[]string{"alice/s1 begins: 5h 0.1", "alice/s1: 5h 0.3"}, "5h allowed 0.3, alice/s1 0.2, unknown 0.1\n",
		},
		"while a known person waits for a response": {
			[]string{"bob/s2: 5h 0.1", "bob/s2 sends", "alice/s1: 5h 0.2", "bob/s2: 5h 0.3", "bob/s2: 5h 0.4"},
			"5h allowed 0.4, bob/s2 0.1, unknown 0.3\n",
		},
		"while a known person gave up waiting": {
			[]string{"bob/s2: 5h 0.1", "alice/s1 sends", "bob/s3 sends", "bob/s3 ends", "alice/s1: 5h 0.2", "alice/s1: 5h 0.3", "alice/s1: 5h 0.4"},
			"5h allowed 0.4, alice/s1 0.2, unknown 0.2\n",
		},
		"while an unknown person waits for a response": {
			[]string{"alice/s1: 5h 0.1", "bob/s2 sends", "alice/s1: 5h 0.2"}, "5h allowed 0.2, unknown 0.2\n",
		},
		"after a person gave up waiting": {
			[]string{"bob/s2: 5h 0.1", "alice/s1: 5h 0.1", "alice/s1 sends", "alice/s1 ends", "bob/s2: 5h 0.2", "bob/s2: 5h 0.3"},
			"5h allowed 0.3, bob/s2 0.2, unknown 0.1\n",
		},
		"while another session of theirs waits": {
			[]string{"alice/s1: 5h 0.1", "alice/s2 sends", "alice/s1: 5h 0.2"}, "5h allowed 0.2, alice/ 0.1, unknown 0.1\n",
		},
		"names withheld: sessions are told apart": {
			[]string{"/s1 begins: 5h 0.1", "/s1: 5h 0.2", "/s2: 5h 0.4", "/s1 ends", "/: 5h 0.5", "/s2: 5h 0.6"},
			"5h allowed 0.6, / 0.1, /s1 0.1, /s2 0.1, unknown 0.3\n",
		},
	})
}

// What a stream uses after its header is seen in the next response, and attributed to its sender.
func TestUseOfStreams(t *testing.T) {
	playAll(t, map[string]scriptCase{
		"of one person":                    {[]string{"alice/s1: 5h 0.1", "alice/s1: 5h 0.2"}, "5h allowed 0.2, alice/s1 0.1, unknown 0.1\n"},
		"before another person's response": {[]string{"alice/s1: 5h 0.1", "bob/s2: 5h 0.3"}, "5h allowed 0.3, bob/s2 0.2, unknown 0.1\n"},
		"a response without an account":    {[]string{"alice/s1: 5h 0.1", "alice/s1: -", "bob/s2: 5h 0.3"}, "5h allowed 0.3, bob/s2 0.2, unknown 0.1\n"},
	})
}

func TestWindowsBeginAgain(t *testing.T) {
	playAll(t, map[string]scriptCase{
		"the window began again in time": {
			[]string{"alice/s1: 5h 0.1 reset 1h", "alice/s1: 5h 0.9 reset 1h", "wait 2h", "bob/s2: 5h 0.05 reset 5h", "bob/s2: 5h 0.06 reset 5h"},
			"5h allowed 0.06, bob/s2 0.01, unknown 0.05\n",
		},
		"the window began again early": {
			[]string{"alice/s1: 5h 0.8 reset 1h", "alice/s1: 5h 0.9 reset 1h", "bob/s2: 5h 0.05 reset 5h", "bob/s2: 5h 0.06 reset 5h"},
			"5h allowed 0.06, bob/s2 0.01, unknown 0.05\n",
		},
		"two limits of one organization, close together": {
			[]string{"alice/s1: 5h 0.8 reset 1h", "bob/s2: 5h 0.74 reset 1h"}, "5h allowed 0.74, unknown 0.74, mixed\n",
		},
		"the window is over": {
			[]string{"alice/s1: 5h 0.8 reset 1h", "alice/s1: 5h 0.9 reset 1h", "wait 1h"}, "5h unknown\n",
		},
		"the window began again, and more is used already": {
			[]string{"alice/s1: 5h 0.1 reset 1h", "bob/s2: 5h 0.2 reset 5h", "bob/s2: 5h 0.3 reset 5h"}, "5h allowed 0.3, bob/s2 0.1, unknown 0.2\n",
		},
		"a response that another has overtaken": {
			[]string{"alice/s1 begins: 5h 0.5 reset 1h", "alice/s1: 5h 0.46 reset 1h", "alice/s1: 5h 0.6 reset 1h"},
			"5h allowed 0.6, alice/s1 0.1, unknown 0.5\n",
		},
		"after 8 hours": {
			[]string{"alice/s1: 7d 0.1 reset 24h", "alice/s1: 7d 0.2 reset 24h", "wait 8h", "bob/s2: 7d 0.3 reset 16h"}, "7d allowed 0.3, unknown 0.3\n",
		},
		"a dip": {
			[]string{"alice/s1: 5h 0.5 reset 1h", "alice/s1: 5h 0.49 reset 1h", "alice/s1: 5h 0.5 reset 1h"}, "5h allowed 0.5, unknown 0.5\n",
		},
		"two limits of one organization, by the utilization": {
			[]string{"alice/s1: 5h 0.8 reset 1h", "bob/s2: 5h 0.1 reset 1h", "alice/s1: 5h 0.81 reset 1h", "bob/s2: 5h 0.12 reset 1h"},
			"5h allowed 0.12, unknown 0.12, mixed\n",
		},
		"two limits of one organization, by the reset": {
			[]string{"alice/s1: 5h 0.1 reset 2h", "bob/s2: 5h 0.8 reset 1h", "alice/s1: 5h 0.2 reset 2h"}, "5h allowed 0.2, unknown 0.2, mixed\n",
		},
		"a response from before the reset": {
			[]string{"alice/s1: 5h 0.9 reset 10s", "wait 20s", "bob/s2: 5h 0.05 reset 5h", "alice/s1: 5h 0.95 reset -10s"},
			"5h allowed 0.05, unknown 0.05\n",
		},
		"mixed, and then only one of the limits is used": {
			[]string{"alice/s1: 5h 0.8 reset 1h", "bob/s2: 5h 0.1 reset 1h", "bob/s2: 5h 0.2 reset 1h"}, "5h allowed 0.2, unknown 0.2, mixed\n",
		},
		"mixed, and the windows are over": {
			[]string{"alice/s1: 5h 0.1 reset 2h", "bob/s2: 5h 0.8 reset 1h", "wait 2h", "alice/s1: 5h 0.2 reset 2h", "alice/s1: 5h 0.3 reset 2h"},
			"5h allowed 0.3, unknown 0.3, mixed\n",
		},
		"mixed, and 8 hours without a response": {
			[]string{"alice/s1: 5h 0.1 reset 2h", "bob/s2: 5h 0.8 reset 1h", "wait 8h", "alice/s1: 5h 0.2 reset 2h", "alice/s1: 5h 0.3 reset 2h"},
			"5h allowed 0.3, alice/s1 0.1, unknown 0.2\n",
		},
	})
}

func TestReportOfAnAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := ratelimit.New()
		seen := func(unified ...string) {
			a.Seen(headers("org-1", unified...), user("alice/s1")).End()
		}
		seen("status allowed_warning", "reset "+in(time.Hour), "representative-claim five_hour",
			"5h-status allowed_warning", "5h-utilization 0.91", "5h-reset "+in(time.Hour),
			"7d-utilization 0.4", "7d-reset "+in(72*time.Hour), "7d_oi-status rejected", "7d_oi-utilization 1.01",
			"overage-status rejected", "overage-disabled-reason org_level_disabled")
		seen("status allowed", "5h-status allowed", "5h-utilization 0.92", "overage-status allowed", "overage-utilization 0.125", "overage-in-use true")
		text, err := json.MarshalIndent(a.Report(), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		id := a.Report()[0].ID
		if strings.Contains(string(text), "org-1") || len(id) != 12 {
			t.Errorf("the organization is named: %s", text)
		}
		const want = `[{
 "account": "ID", "last_response": "2000-01-01T00:00:00Z", "claim": "five_hour", "overage_in_use": true,
 "windows": [
  {"window": "unified", "status": "allowed", "utilization": null, "resets_at": "2000-01-01T01:00:00Z", "used_by": [], "unknown": 0},
  {"window": "5h", "status": "allowed", "utilization": 0.92, "resets_at": "2000-01-01T01:00:00Z",
   "used_by": [{"person": "alice", "session": "s1", "utilization": 0.01}], "unknown": 0.91},
  {"window": "7d", "status": "unknown", "utilization": 0.4, "resets_at": "2000-01-04T00:00:00Z", "used_by": [], "unknown": 0.4},
  {"window": "overage", "status": "allowed", "utilization": 0.125, "used_by": [], "unknown": 0.125},
  {"window": "7d_oi", "status": "rejected", "utilization": 1.01, "used_by": [], "unknown": 1.01}
 ]
}]`
		if got, want := compact(t, string(text)), compact(t, strings.ReplaceAll(want, "ID", id)); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func compact(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	out, _ := json.MarshalIndent(v, "", " ")
	return string(out)
}

func TestWindowsOfAnAPIKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := ratelimit.New()
		for _, remaining := range []string{"49", "0"} {
			h := headers("org")
			h.Set("Anthropic-Ratelimit-Requests-Limit", "50")
			h.Set("Anthropic-Ratelimit-Requests-Remaining", remaining)
			h.Set("Anthropic-Ratelimit-Requests-Reset", "2000-01-01T00:01:00Z")
			h.Set("Anthropic-Ratelimit-Input-Tokens-Limit", "40000")
			h.Set("Anthropic-Ratelimit-Input-Tokens-Remaining", "50000")
			a.Seen(h, user("alice/s1")).End()
		}
		if got, want := table(a), "requests unknown 1, unknown 1\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if w := a.Report()[0].Windows[0]; *w.Limit != 50 || w.Remaining == nil || w.ResetsAt.Minute() != 1 {
			t.Errorf("got %+v", w)
		}
	})
}

// Several limits share the account: the figures are those of the latest response, in whichever
// order they reset.
func TestResetOfTheLatestResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		reset := func() string { return time.Until(s.Report()[0].Windows[0].ResetsAt).Round(time.Minute).String() }
		for _, step := range [][2]string{
			{"alice/s1: 5h 0.1 reset 2h", "2h0m0s"}, {"bob/s2: 5h 1 reset 37m", "37m0s"}, {"alice/s1: 5h 0.2 reset 2h", "2h0m0s"},
		} {
			s.play(step[0])
			if got := reset(); got != step[1] {
				t.Errorf("after %s: %s", step[0], got)
			}
		}
		want := "5h unknown, mixed\n"
		if got := s.play("bob/s2: 5h 1 reset 37m", "wait 40m"); got != want {
			t.Errorf("after one of the resets: got %q, want %q", got, want)
		}
		want = "5h allowed 0.5, unknown 0.5, mixed\n"
		if got := s.play("alice/s1: 5h 0.3 reset 1h", "bob/s2: 5h 0.5 reset 5h"); got != want {
			t.Errorf("before the last reset: got %q, want %q", got, want)
		}
	})
}

func TestSavedIsRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := newScript()
		before.play("alice/s1: 5h 0.1 reset 1h", "alice/s1: 5h 0.3 reset 1h")
		saved, err := json.Marshal(before.Save())
		if err != nil {
			t.Fatal(err)
		}
		var memory ratelimit.Saved
		if err := json.Unmarshal(saved, &memory); err != nil {
			t.Fatal(err)
		}
		after := newScript()
		after.Restore(memory)
		const want = "5h allowed 0.35, alice/s1 0.2, bob/s2 0.05, unknown 0.1\n"
		if got := after.play("bob/s2: 5h 0.35 reset 1h"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		after.Restore(ratelimit.Saved{}) // of a process that has none
		if table(after.Accounts) != want {
			t.Error("it was forgotten")
		}
	})
}

func TestNothingIsKeptOfWhatIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		s.play("alice/s1: 5h 0.1", "alice/s1 begins: 5h 0.2")
		before := s.Report()[0].ID
		s.Forget()
		if n := ratelimit.ActiveUsers(s.Accounts); n != 0 {
			t.Errorf("%d users are remembered", n)
		}
		if got := table(s.Accounts); got != "" {
			t.Errorf("got %q", got)
		}
		const want = "5h allowed 0.4, /s2 0.1, unknown 0.3\n"
		if got := s.play("/s2: 5h 0.3", "alice/s1 ends", "/s2: 5h 0.4"); got != want || s.Report()[0].ID != before {
			t.Errorf("got %q, want %q, of %s", got, want, before)
		}
	})
}

// metrics are the series that are not zero, sorted: the window, the state if there is one, and the
// value.
func metrics(t *testing.T, a *ratelimit.Accounts) string {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(a)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var text string
			for _, l := range m.GetLabel() { // state, window
				text = l.GetValue() + " " + text
			}
			if v := m.GetGauge().GetValue(); v != 0 {
				all = append(all, fmt.Sprint(text, v))
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func TestMetricsOfAllAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := ratelimit.New()
		expect := func(want string) {
			t.Helper()
			if got := metrics(t, a); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		expect("")
		a.Seen(http.Header{"Anthropic-Ratelimit-Unified-Status": {"allowed"}}, user("alice/s1")) // of nobody known
		a.Seen(headers("a"), user("alice/s1"))
		expect("")
		a.Seen(headers("a", "status rejected", "5h-utilization 1.02", "5h-reset "+in(time.Hour)), user("alice/s1"))
		a.Seen(headers("b", "status allowed", "5h-utilization 0.5", "7d-utilization 0.8", "7d-status allowed_warning",
			"7d_oi-status on fire", "7d_oi-utilization 0.9", "overage-status rejected"), user("bob/s2"))
		expect("5h 1.02, 5h unknown 2, 7d 0.8, 7d allowed_warning 1, other 0.9, other other 1, " +
			"overage rejected 1, unified allowed 1, unified rejected 1")
		time.Sleep(time.Hour)
		expect("5h 0.5, 5h unknown 2, 7d 0.8, 7d allowed_warning 1, other 0.9, other other 1, " +
			"overage rejected 1, unified allowed 1, unified rejected 1")
		time.Sleep(7 * time.Hour) // 8 since their last response
		expect("")
	})
}

// A person who uses another account does not make the owner of a rise unknown.
func TestPeopleOfOtherAccountsAreNotSuspected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		r := s.Sent(user("carol/s9"))
		r.Responded(headers("another", "5h-status allowed"), user("carol/s9"))
		r.End()
		const want = "5h allowed 0.2, bob/s2 0.1, unknown 0.1\n"
		if got := s.play("bob/s2: 5h 0.1", "carol/s9 sends", "bob/s2: 5h 0.2"); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
