package proxy

import (
	"cmp"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestWorkingCountsFailuresInARow(t *testing.T) {
	start := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	end := func(status int, code Code) *record {
		r := &record{}
		r.Status, r.Outcome, r.Error, r.Steps, r.Method, r.Path = status, cmp.Or(string(code), outcomeOK), "why", []StepTrace{{Phase: phaseStreaming}}, "GET", "/x"
		return r
	}
	begun := func(status int, code Code) *record {
		r := end(status, code)
		r.FirstByte = 1
		return r
	}
	gone, left := end(0, ""), end(0, "")
	gone.leave()
	left.leave()
	left.silence = 12 * time.Second
	o := &outcomes{clients: newClients(nil)}
	for i, row := range []struct {
		name string
		*record
		want string
	}{
		{"one without a response", end(502, CodeUpstreamConnect), "the last request failed: upstream_connect: why"},
		{"the client left", gone, "the last request failed: upstream_connect: why"},
		{"the client's fault", end(413, CodeRequestTooLarge), "the last request failed: upstream_connect: why"},
		{"not admitted", end(403, CodeAccessDenied), "the last request failed: upstream_connect: why"},
		{"another", end(502, CodeUpstreamConnect), "no request has succeeded for 4 min: upstream_connect: why (2 in a row)"},
		{"all slots taken", end(503, CodeOverloaded), "no request has succeeded for 5 min: upstream_connect: why (2 in a row)"},
		{"cut", begun(200, CodeUpstreamInterrupted), "no request has succeeded for 6 min: upstream_interrupted: why for GET /x (3 in a row)"},
		{"another cut", begun(200, CodeUpstreamInterrupted), "no request has succeeded for 7 min: upstream_interrupted: why for GET /x (4 in a row)"},
		{"well", begun(200, ""), ""},
		{"one of the API's", begun(statusOverloaded, ""), "the last request failed: the upstream responded 529 for GET /x"},
		{"well again", begun(304, ""), ""},
		{"refused by the API", begun(401, ""), ""},
		{"and again", begun(http.StatusBadRequest, ""), ""},
		{"three times", begun(401, ""), "no request has succeeded for 2 min: the upstream responded 401 Unauthorized for GET /x (3 in a row)"},
		{"a redirect", begun(302, ""), "no request has succeeded for 3 min: the upstream responded 302 Found for GET /x (4 in a row)"},
		{"well at last", begun(200, ""), ""},
		{"strangers", end(403, CodeAccessDenied), ""},
		{"a full queue", end(503, CodeOverloaded), ""},
		{"still full", end(503, CodeOverloaded), ""},
		{"full for the third", end(503, CodeOverloaded), "no request has succeeded for 2 min: overloaded: why (3 in a row)"},
		{"another stranger", end(403, CodeAccessDenied), "no request has succeeded for 3 min: overloaded: why (3 in a row)"},
		{"the queue is short", begun(200, ""), ""},
		{"left a silent upstream", left, ""},
		{"another", left, ""},
		{"a third", left, "no request has succeeded for 2 min: the upstream was silent for 12 s when the client left (3 in a row)"},
	} {
		now := start.Add(time.Duration(i) * time.Minute)
		if row.FirstByte > 0 {
			o.began(row.record, now)
		}
		before := o.read()
		o.ended(row.record, now)
		if after := o.read(); after.InARow > before.InARow && after.Failed != before.Failed+1 {
			t.Errorf("%s: %d in a row, and %d failed", row.name, after.InARow, after.Failed)
		}
		if got, _, _ := strings.Cut(o.read().Trouble(now), "; "); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
	if got := o.read().Trouble(start.Add(5 * time.Hour)); !strings.HasPrefix(got, "no request has succeeded for 5 h: ") {
		t.Error(got)
	}
}

// The advice names what a response and its request-id prove.
func TestFixOfAResponse(t *testing.T) {
	for _, tt := range []struct {
		status   int
		id, want string
	}{
		{401, "req_1", "/login"},
		{429, "req_1", "oauth-proxyd limits"},
		{529, "req_1", "status.anthropic.com"},
		{400, "req_1", "the error that the client shows"},
		{403, "", "this one had none"},
		{503, "", "oauth-proxyd doctor"},
	} {
		if got := fixResponse(tt.status, tt.id); !strings.Contains(got, tt.want) {
			t.Errorf("%d %q: %q has no %q", tt.status, tt.id, got, tt.want)
		}
	}
}
