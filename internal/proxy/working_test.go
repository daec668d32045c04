package proxy

import (
	"net/http"
	"testing"
	"time"
)

func TestWorkingCountsFailuresInARow(t *testing.T) {
	start := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	end := func(status int, code Code) *record {
		r := &record{code: code}
		r.Status, r.Error = status, string(code)
		return r
	}
	var w working
	for i, row := range []struct {
		name string
		*record
		want string
	}{
		{"one without a response", end(502, CodeUpstreamConnect), "the last request failed: upstream_connect"},
		{"the client left", end(statusClientGone, ""), "the last request failed: upstream_connect"},
		{"the client's fault", end(413, CodeTooLarge), "the last request failed: upstream_connect"},
		{"not admitted", end(403, CodeAccessDenied), "the last request failed: upstream_connect"},
		{"cut", end(200, CodeUpstreamInterrupted), "no request has succeeded for 4 min: upstream_interrupted (2 in a row)"},
		{"all slots taken", end(503, CodeOverloaded), "no request has succeeded for 5 min: overloaded (3 in a row)"},
		{"well", end(200, ""), ""},
		{"one of the API's", end(statusOverloaded, ""), "the last request failed: the upstream responded 529"},
		{"well again", end(304, ""), ""},
		{"refused by the API", end(401, ""), ""},
		{"and again", end(http.StatusBadRequest, ""), ""},
		{"three times", end(401, ""), "no request has succeeded for 2 min: the upstream responded 401 Unauthorized (3 in a row)"},
	} {
		now := start.Add(time.Duration(i) * time.Minute)
		w.observe(row.record, now)
		if got := w.Trouble(now); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
	if w.LastStatus != 401 || w.InARow != 3 {
		t.Errorf("%+v", w.Working)
	}
	if got, want := w.Trouble(start.Add(5*time.Hour)), "no request has succeeded for 5 h: the upstream responded 401 Unauthorized (3 in a row)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
