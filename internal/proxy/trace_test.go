package proxy_test

import (
	"net/http"
	"strings"
	"testing"
)

// Only a trace ID that is valid by W3C Trace Context is recorded, and the header passes as it is.
func TestTraceParent(t *testing.T) {
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	const valid = "00-" + trace + "-" + parent + "-01"
	var sent []string
	d := openDoor(t, newUpstream(t, "http1", func(_ http.ResponseWriter, r *http.Request) { sent = r.Header["Traceparent"] }))
	for name, row := range map[string]struct {
		lines []string
		valid bool
	}{
		"valid":           {[]string{valid}, true},
		"another version": {[]string{"01" + valid[2:] + "-more"}, true},
		"absent":          {nil, false},
		"twice":           {[]string{valid, valid}, false},
		"upper case":      {[]string{strings.ToUpper(valid)}, false},
		"no trace":        {[]string{"00-" + strings.Repeat("0", 32) + "-" + parent + "-01"}, false},
		"no hex":          {[]string{"00-" + trace[:31] + "g-" + parent + "-01"}, false},
		"other lengths":   {[]string{"00-" + trace + "a-" + parent[1:] + "-01"}, false},
		"no dashes":       {[]string{strings.Repeat(trace, 2)}, false},
		"text":            {[]string{strings.Repeat("PLANTED ", 7)[:55]}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, http.MethodGet, d.url("/"), nil)
			r.Header["Traceparent"] = row.lines
			response, _ := do(t, newClient(t), r)
			want := ""
			if row.valid {
				want = trace
			}
			if got := d.found(t, response.Header.Get("X-Request-Id")).TraceID; got != want {
				t.Errorf("%q: the trace is %q, want %q", row.lines, got, want)
			}
			if strings.Join(sent, "|") != strings.TrimSpace(strings.Join(row.lines, "|")) {
				t.Errorf("%q was sent as %q", row.lines, sent)
			}
		})
	}
}
