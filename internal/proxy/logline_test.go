package proxy

import "testing"

// A person's name with blanks must not look like fields of the line.
func TestLogLineQuotesNames(t *testing.T) {
	for person, want := range map[string]string{
		"ann@example.com":           "POST /v1/messages 200 0ms ann none",
		"ann status=500 outcome=ok": `POST /v1/messages 200 0ms "ann status=500 outcome=ok" none`,
	} {
		trace := Trace{Method: "POST", Path: "/v1/messages", Status: 200, Person: person, Credential: "none", Outcome: outcomeOK}
		if got := trace.line(); got != want {
			t.Errorf("the line is %q, want %q", got, want)
		}
	}
}
