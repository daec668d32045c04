package selftest

import "net/http"

// Report is the outcome of a run.
type Report struct {
	// OK: no verdict is Fail.
	OK bool `json:"ok"`
	// Clients are in order of listener and client.
	Clients  []Client  `json:"clients"`
	Verdicts []Verdict `json:"verdicts"`
}

// Status is the outcome of a verdict.
type Status string

// The outcomes. Warn is for what the operator may have intended.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Verdict says whether one requirement holds.
type Verdict struct {
	// Name says what must hold.
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Details say what does not hold, or only in part.
	Details []string `json:"details,omitempty"`
}

// Client is one typical client with its request and the result.
type Client struct {
	Name     string `json:"name"`
	Listener string `json:"listener"`
	Method   string `json:"method"`
	Target   string `json:"target"`
	// Status of the response; 0: none came.
	Status int `json:"status"`
	// Events of the response, each read before the API sent the next.
	Events int `json:"events,omitempty"`
	// Headers of both sides, by name.
	Headers []Header `json:"headers"`
	// Rules in the order of the configuration.
	Rules []Rule `json:"rules"`
	// Error is why the request did not complete.
	Error string `json:"error,omitempty"`

	oauth    bool // it sends an OAuth token
	header   http.Header
	body     string
	received http.Header // nil: the API received no request
	refusal  string      // the message of an error body
}

// Header is one header field on both sides; without values, that side did not have it. The values
// of credentials, and of headers whose names speak of secrets, are not in it.
type Header struct {
	Name     string   `json:"name"` // lower case
	Sent     []string `json:"sent,omitempty"`
	Received []string `json:"received,omitempty"`
}

// Rule is one header rule, and what it did to a request.
type Rule struct {
	Name   string `json:"rule"` // with its condition, as in the file
	Does   string `json:"does"`
	Result string `json:"result"` // added, present, replaced, removed or skipped

	header string // lower case
	hidden bool   // its value is not to be shown
}
