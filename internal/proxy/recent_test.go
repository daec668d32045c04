package proxy_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// wantRecent looks at the metrics of a window: how many requests, and the share of each class.
func (a *agents) wantRecent(t *testing.T, when, window string, requests float64, shares map[string]float64) {
	t.Helper()
	if got := metric(t, a.reg, `proxy_recent_requests{window="`+window+`"}`); got != requests {
		t.Errorf("%s: %v requests in %s, want %v", when, got, window, requests)
	}
	for _, class := range []string{"429", "529", "5xx", "4xx", "error_event", "no_request_id", "incomplete", "proxy"} {
		series := fmt.Sprintf(`proxy_recent_error_ratio{class="%s",window="%s"}`, class, window)
		if got := metric(t, a.reg, series); got != shares[class] {
			t.Errorf("%s: %s is %v, want %v", when, series, got, shares[class])
		}
	}
}

// The shares of errors are those of the window, whosever they are, and are forgotten with it.
func TestRecentErrorsByWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := openAgents(t)
		maps.Copy(a.refused, map[string]int{"limited": 429, "overloaded": 529, "failed": 503, "refused": 400, "broken": 0})
		a.wantRecent(t, "no request", "60m", 0, nil)
		a.send(t, 5, "limited", "overloaded", "failed", "refused", "broken", "fine", "fine", "fine", "fine", "fine")
		shares := map[string]float64{"429": 0.1, "529": 0.1, "5xx": 0.1, "4xx": 0.1, "proxy": 0.1}
		for _, window := range []string{"1m", "5m", "60m"} {
			a.wantRecent(t, "at once", window, 50, shares)
		}
		time.Sleep(time.Minute)
		a.send(t, 1, "fine")
		a.wantRecent(t, "a minute later", "1m", 1, nil)
		a.wantRecent(t, "a minute later", "5m", 51, map[string]float64{
			"429": 5. / 51, "529": 5. / 51, "5xx": 5. / 51, "4xx": 5. / 51, "proxy": 5. / 51,
		})
		for range 59 {
			time.Sleep(time.Minute)
			a.send(t, 1, "fine")
		}
		a.wantRecent(t, "an hour later", "5m", 5, nil)
		a.wantRecent(t, "an hour later", "60m", 59, nil)
	})
}

func TestStatusSaysWhoseFaultItIs(t *testing.T) {
	for name, row := range map[string]struct {
		statuses []int // of the requests, in turn
		unsigned bool  // the responses have no request-id
		want     string
	}{
		"all is well":           {[]int{200, 200, 400, 401}, false, ""},
		"the API is overloaded": {[]int{200, 529, 200, 500}, false, "it is the API: 6 of 12 requests of the last 5 minutes got an error from it (429: 0, 529: 3, other 5xx: 3, error events: 0); "},
		"limits are reached":    {[]int{429, 200}, false, "it is the API: 6 of 12 requests of the last 5 minutes got an error from it (429: 6, 529: 0, other 5xx: 0, error events: 0); 429 is a rate limit, which `oauth-proxyd limits` shows; for the others see https:"},
		"we fail":               {[]int{200, 0, 0, 529}, false, "it may not be the API: 6 of 12 requests of the last 5 minutes failed, most with the code upstream_protocol; run `oauth-proxyd doctor`"},
		"a portal responds":     {[]int{200, 529, 429, 500}, true, "it may not be the API: 9 of 12 requests of the last 5 minutes got an error without the API's request-id, "},
		"a portal logs in":      {[]int{webPage, 200}, true, "it may not be the API: 6 of 12 requests of the last 5 minutes got an error without the API's request-id, "},
		"streams only fail":     {[]int{errorStream, 200}, false, "it is the API: 6 of 12 requests of the last 5 minutes got an error from it (429: 0, 529: 0, other 5xx: 0, error events: 6); "},
		"another server works":  {[]int{200}, true, ""},
		"responses are cut":     {[]int{200, -1}, false, "it may not be the API: 6 of 12 requests of the last 5 minutes failed, most with the code upstream_interrupted; run `oauth-proxyd doctor`"},
		"all are cut":           {[]int{-1}, false, ""}, // Trouble says so
		"one in twelve":         {[]int{200, 200, 200, 200, 200, 529, 200, 200, 200, 200, 200, 200}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := openAgents(t)
				if row.unsigned {
					a.header = ""
				}
				for i := range 12 {
					a.refused[curl] = row.statuses[i%len(row.statuses)]
					a.send(t, 1, curl)
				}
				got := strings.Join(a.Warnings(time.Now()), "|")
				if !strings.HasPrefix(got, row.want) || row.want == "" && got != "" {
					t.Errorf("it warns %q, want %q", got, row.want)
				}
				time.Sleep(5*time.Minute + 10*time.Second)
				if got := a.Warnings(time.Now()); len(got) > 0 {
					t.Errorf("5 minutes later it warns %q", got)
				}
			})
		})
	}
}

// The first line of status names each kind of failure, its code and its fix.
func TestTroubleNamesTheFailure(t *testing.T) {
	const message, upgrade = "POST /v1/messages", "GET /v1/x HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\nX:"
	for name, row := range map[string]struct {
		status  int
		header  string   // of the responses
		targets []string // in turn, three times
		want    string
	}{
		"messages are refused, all else works": {403, "Request-Id: req_1\r\n", []string{message, "GET /v1/models"}, "no message has succeeded for 1 s: the upstream responded 403 Forbidden (3 in a row); "},
		"others are refused, messages work":    {403, "Request-Id: req_1\r\n", []string{"GET /v1/x", "POST /v1/messages/count_tokens", message + " HTTP/1.1\r\nUser-Agent: curl/8.0\r\nX:"}, ""},
		"streams are just an error":            {errorStream, "Request-Id: req_1\r\n", []string{message}, "no message has succeeded for 1 s: the upstream ended the stream with an error event (3 in a row); it is the API: "},
		"a portal responds":                    {webPage, "", []string{message}, "no message has succeeded for 1 s: the upstream responded 200 OK with a web page (3 in a row); the API sends a request-id"},
		"a web page of an API's other path":    {webPage, "", []string{"HEAD /"}, ""},
		"we refuse":                            {200, "", []string{upgrade}, "no request has succeeded for 1 s: upgrade_refused: protocol upgrades are not supported (3 in a row); see the log"},
		"we refuse some":                       {200, "", []string{upgrade, "GET /"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := openAgents(t)
				a.header, a.refused[newCLI] = row.header, row.status
				for range 3 {
					for _, target := range row.targets {
						if target != "GET /v1/models" && target != "GET /" {
							a.sendOne(t, target, newCLI, "")
						} else {
							a.sendOne(t, target, curl, "")
						}
					}
				}
				if last := a.Ended()[len(a.Ended())-1]; row.status == errorStream && (last.Outcome != "error_event" || !last.Failed()) {
					t.Errorf("explain says %q", last.Outcome)
				}
				stats, lately := a.Stats(), a.RecentErrors(time.Now())["1m"]
				if got := stats.Trouble(time.Now()); !strings.HasPrefix(got, row.want) || row.want == "" && got != "" {
					t.Errorf("got %q, want %q", got, row.want)
				}
				failed := 0
				for _, n := range lately.Errors {
					failed += n
				}
				if int(stats.Failed) != failed || int(stats.Served) != lately.Requests {
					t.Errorf("%d of %d failed since the start, and %d of %d lately", stats.Failed, stats.Served, failed, lately.Requests)
				}
			})
		})
	}
}
