package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"oauth-proxyd/internal/daemontest"
)

// limitedUpstream responds with the headers that are in the query of a request. A response to /open
// ends when the upstream is closed.
type limitedUpstream struct {
	*httptest.Server
	ends chan struct{}
}

func newLimitedUpstream(t *testing.T) *limitedUpstream {
	t.Helper()
	u := &limitedUpstream{ends: make(chan struct{})}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.URL.Query() {
			w.Header().Set(name, values[0])
		}
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/open" {
			<-u.ends
		}
	}))
	t.Cleanup(func() { close(u.ends); u.Close() })
	return u
}

// startLimited starts a service between a gateway that names people and such an upstream.
func startLimited(t *testing.T, more ...string) (s *service, config string) {
	t.Helper()
	d := runTailscaled(t, "Running")
	d.Deliver(userPeer)
	config = forwarding(newLimitedUpstream(t).URL, "", onTailnet(d, "wait"), believePeers) + strings.Join(more, "")
	return start(t, unit{config: config}), config
}

// says sends a request for a user, a person and a session. Its response has these headers: "account
// a", or a rate limit by its name, such as "unified-5h-utilization 0.3".
func (s *service) says(user string, headers ...string) {
	s.t.Helper()
	s.saysAt("/", user, headers...)()
}

// saysAt is says at a path. It returns a function that waits for the end of the response.
func (s *service) saysAt(path, user string, headers ...string) (wait func() result) {
	person, session, _ := strings.Cut(user, "/")
	var query []string
	for _, h := range headers {
		name, value, _ := strings.Cut(h, " ")
		switch name {
		case "account":
			name = "anthropic-organization-id"
		default:
			name = "anthropic-ratelimit-" + name
		}
		query = append(query, name+"="+value)
	}
	return background(s.t, newClient(s.t), http.MethodGet, s.url()+path+"?"+strings.Join(query, "&"), "",
		"X-Claude-Code-Session-Id", session, personHeader, person)
}

// afterNow returns the time of a reset, as the API writes it.
func afterNow(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }

// limitsText returns the output of limits, without what differs between two runs.
func (s *service) limitsText() string {
	s.t.Helper()
	code, out, errs := s.command("limits")
	if code != 0 || errs != "" {
		s.t.Fatalf("limits: %d %q", code, errs)
	}
	out = regexp.MustCompile(`account [0-9a-f]{12}`).ReplaceAllString(out, "account ID")
	return regexp.MustCompile(`[\d.]+(µs|ms|s) ago`).ReplaceAllString(out, "AGO")
}

// The people who use the scripted account.
const (
	alice1 = "alice@example.com/0b1c2d3e-4f50"
	alice2 = "alice@example.com/77aa1122-3344"
	bob    = "bob@example.com/99ffee00-1122"
)

// scriptedAccount sends requests of two people, of which one has two sessions.
func (s *service) scriptedAccount() {
	week := 3*24*time.Hour + 4*time.Hour + time.Minute
	all := func(five, seven string) []string {
		return []string{
			"account a", "unified-status allowed_warning", "unified-representative-claim five_hour",
			"unified-5h-status allowed_warning", "unified-5h-utilization " + five, "unified-5h-reset " + afterNow(130*time.Minute+30*time.Second),
			"unified-7d-status allowed", "unified-7d-utilization " + seven, "unified-7d-reset " + afterNow(week),
			"unified-overage-status rejected", "unified-overage-disabled-reason org_level_disabled",
		}
	}
	s.says(alice1, all("0.46", "0.3")...)
	s.says(alice1, all("0.62", "0.3")...)
	s.says(alice2, all("0.7", "0.304")...)
	s.says(bob, all("0.78", "0.304")...)
	s.saysAt("/open", alice1, all("0.78", "0.304")...)
	daemontest.Eventually(s.t, "a response is open", func() bool {
		_, out, _ := s.command("requests")
		return strings.Contains(out, "streaming")
	})
	s.says(bob, all("0.82", "0.304")...)
}

const scriptedTable = `account ID, warning, decided by five_hour, last response AGO
  5h            ################....   82%  warning    resets in 2h10m
    alice@example.com                  16%  0b1c2d3e
    alice@example.com                   8%  77aa1122
    bob@example.com                     8%  99ffee00
    not attributed                     50%
  7d            ######..............   30%  allowed    resets in 3d4h
    alice@example.com                  <1%  77aa1122
    not attributed                     30%
  overage       off: org_level_disabled
`

func TestLimitsOfScriptedAccounts(t *testing.T) {
	t.Parallel()
	s, _ := startLimited(t)
	if got, want := s.limitsText(), "no response in the last 8 hours reported the rate limits of an account\n"; got != want {
		t.Errorf("at rest: %q", got)
	}
	s.scriptedAccount()
	if got := s.limitsText(); got != scriptedTable {
		t.Errorf("got\n%swant\n%s", got, scriptedTable)
	}
	s.says(bob, "account b", "requests-limit 50", "requests-remaining 49", "input-tokens-limit 40000", "input-tokens-remaining 10000",
		"unified-7d_a_model_with_a_name-utilization 1.1", "unified-7d_a_model_with_a_name-status rejected",
		"unified-overage-status allowed", "unified-overage-utilization 0.13", "unified-overage-in-use true")
	const other = `account ID, last response AGO
  overage       ###.................   13%  allowed    ` + `
    in use: requests are billed beyond the plan
  7d_a_model_w… ####################  110%  rejected   ` + `
  requests      ....................    2%  49 left
  input-tokens  ###############.....   75%  10000 left
`
	want := regexp.MustCompile(` +\n`).ReplaceAllString(other, "\n") + "\n" + scriptedTable
	if got := s.limitsText(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// A person may be called like a row of the table, and a reason be of any length.
func TestLimitsWithOddNames(t *testing.T) {
	t.Parallel()
	s, _ := startLimited(t)
	all := []string{"account a", "unified-5h-status allowed", "unified-overage-status rejected", "unified-overage-disabled-reason a_reason"}
	for i, name := range []string{"x", "not attributed", "99%  session", strings.Repeat("漢字", 10)} {
		s.says(name+"/s-1", append(all, fmt.Sprintf("unified-5h-utilization 0.%d", i+1))...)
	}
	for _, want := range []string{
		"    \"not attributed\" ", "    \"99%  session\" ", "overage       off: a_reason\n",
		"\n    漢字漢字漢字漢字漢字漢字漢字漢…    10%  s-1\n",
	} {
		if got := s.limitsText(); !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	out := ""
	s.saysAt("/open", "ann for eve/s-1")
	daemontest.Eventually(t, "it is in flight", func() bool {
		_, out, _ = s.command("requests")
		return strings.Contains(out, "streaming")
	})
	if !strings.Contains(out, `, for "ann for eve", credential none`) {
		t.Error(out)
	}
}

func TestLimitsAsJSON(t *testing.T) {
	t.Parallel()
	s, _ := startLimited(t)
	s.scriptedAccount()
	code, out, _ := s.command("limits", "--json")
	var accounts []struct {
		Claim   string
		Windows []struct {
			Window, Status string
			Utilization    float64
			UsedBy         []struct {
				Person, Session string
				Utilization     float64
			} `json:"used_by"`
			Unknown float64
		}
	}
	if err := json.Unmarshal([]byte(out), &accounts); code != 0 || err != nil || len(accounts) != 1 || accounts[0].Claim != "five_hour" {
		t.Fatalf("%d %v %s", code, err, out)
	}
	const want = "{5h allowed_warning 0.82 [{alice@example.com 0b1c2d3e-4f50 0.16} {alice@example.com 77aa1122-3344 0.08} " +
		"{bob@example.com 99ffee00-1122 0.08}] 0.5}"
	if got := fmt.Sprint(accounts[0].Windows[1]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The new process knows everything that the old one did, and goes on from there.
func TestLimitsSurviveAnUpgrade(t *testing.T) {
	t.Parallel()
	s, config := startLimited(t)
	s.scriptedAccount()
	_, before, _ := s.command("limits", "--json")
	s.wantUpgrade()
	if _, after, _ := s.command("limits", "--json"); after != before || len(before) < 100 {
		t.Errorf("before %s after %s", before, after)
	}
	s.says(alice2, "account a", "unified-5h-utilization 0.92", "unified-5h-reset "+afterNow(130*time.Minute))
	s.says(bob, "account a", "unified-5h-utilization 0.95", "unified-5h-reset "+afterNow(130*time.Minute))
	for _, want := range []string{
		"    alice@example.com                  18%  77aa1122\n    alice@example.com                  16%  0b1c2d3e\n",
		"    bob@example.com                    11%  99ffee00\n",
	} {
		if got := s.limitsText(); !strings.Contains(got, want) {
			t.Errorf("it lacks %q:\n%s", want, got)
		}
	}
	s.configure(config + "log {\n  identity = \"none\"\n}\n")
	s.wantUpgrade()
	if got, want := s.limitsText(), "no response in the last 8 hours reported the rate limits of an account\n"; got != want {
		t.Errorf("names that log.identity withholds: %s", got)
	}
}

// The log says who used an account in the past, so its lines name the account as limits does.
func TestAccountIsLogged(t *testing.T) {
	t.Parallel()
	s, _ := startLimited(t)
	s.says(alice1, "account a", "unified-5h-utilization 0.3")
	s.wantUpgrade()
	s.says(bob, "account a", "unified-5h-utilization 0.4")
	_, out, _ := s.command("limits")
	account := strings.TrimSuffix(strings.Fields(out)[1], ",")
	s.log.Next(t, `"person":"bob@example.com"`)
	lines := regexp.MustCompile(`"request_id":"(\w+)".*"account":"([0-9a-f]+)"`).FindAllStringSubmatch(s.log.Text(), -1)
	if len(lines) != 2 || lines[0][2] != account || lines[1][2] != account {
		t.Fatalf("logged: %q, want two lines with %s", lines, account)
	}
	if _, out, _ := s.command("explain", lines[1][1]); !regexp.MustCompile(`(?m)^  account +` + account + `$`).MatchString(out) {
		t.Error(out)
	}
}

func TestLimitsFitTheTerminal(t *testing.T) {
	t.Parallel()
	s, _ := startLimited(t)
	s.scriptedAccount()
	for i := range 20 {
		s.says(fmt.Sprintf("%s@example.com/%d-%s", strings.Repeat("x", 60), i, strings.Repeat("ä", 60)), "account a", fmt.Sprintf("unified-5h-utilization %v", 0.83+float64(i)/100))
	}
	shown := exec.CommandContext(t.Context(), "script", "--quiet", "--return", "--log-out", "/dev/null", "--command", "oauth-proxyd limits")
	shown.Env = append(s.environment(), "TERM=xterm")
	out, err := shown.Output()
	if err != nil || !strings.Contains(string(out), "\x1b[33m####################\x1b[0m  102%") {
		t.Errorf("%v\n%s", err, out)
	}
	for line := range strings.Lines(regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(string(out), "")) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\r\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if code, _, errs := s.commandAsNobody("limits"); code != 77 || !strings.Contains(errs, "hint: run it as root or as a member of the group oauth-proxyd") {
		t.Errorf("as another user: %d %q", code, errs)
	}
	if code, _, _ := s.command("limits", "--json"); code != 0 {
		t.Errorf("--json: %d", code)
	}
	daemontest.Eventually(t, "the metrics have it", func() bool {
		return strings.Contains(get(t, s.url()+"/metrics").Body, `proxy_upstream_utilization_max_ratio{window="5h"} 1.02`)
	})
}
