package admin

import (
	"net/http"
	"time"

	"oauth-proxyd/internal/proxy"
)

const (
	// ProbeHeader has the nonce of a probe, the request that "oauth-proxyd doctor" sends through a
	// gateway. It is a header because a gateway passes headers on, but builds the URL itself.
	ProbeHeader = proxy.ProbeHeader
	// ProbeAuthorization, followed by the nonce, is the Authorization of a probe. It is valid
	// nowhere.
	ProbeAuthorization = "Bearer sk-ant-oat01-doctor-"
	// ProbePerson is the person whom a probe names in the header of identity. A gateway that names
	// people itself replaces it.
	ProbePerson = "doctor@oauth-proxyd.invalid"
)

// ProbeReport is what became of a probe. Most of it is about its first arrival.
type ProbeReport struct {
	Arrivals int `json:"arrivals"`
	// Refused says why the access rules refused it; empty: they did not.
	Refused string `json:"refused,omitempty"`
	// Sender is the sender, as the access rules see it. Entry is the narrowest entry of an access
	// list that admits the sender; empty: there is none, or log.identity hides it.
	Sender string `json:"sender,omitempty"`
	Entry  string `json:"entry,omitempty"`
	Target string `json:"target,omitempty"` // path and query
	// Authorization is "same", "changed" or "absent". APIKey reports an x-api-key, which a probe
	// does not have. Header has the ProbeHeaders.
	Authorization string      `json:"authorization,omitempty"`
	APIKey        bool        `json:"api_key"`
	Header        http.Header `json:"header,omitempty"`
	// NamedIn lists the headers of the request in which gateways name a person, the header of
	// identity first. Named reports whether the daemon believed that header, Person is the name in
	// it as log.identity shows it, and PersonDoubt says why the daemon did not believe it. Claimed
	// reports that ProbePerson was in it.
	NamedIn     []string `json:"named_in,omitempty"`
	Named       bool     `json:"named"`
	Person      string   `json:"person,omitempty"`
	PersonDoubt string   `json:"person_doubt,omitempty"`
	Claimed     bool     `json:"claimed"`
	// Sent is when each event of the response was sent, and Complete reports whether all were.
	Sent     []time.Time `json:"sent,omitempty"`
	Complete bool        `json:"complete"`
}

// ProbeHeaders lists the headers whose values a report has. The list is fixed, so that a report
// shows nothing of another client's request.
func ProbeHeaders() []string {
	return []string{
		"Accept", "Anthropic-Beta", "Anthropic-Version", "Content-Type", "User-Agent",
		"X-App", "X-Claude-Code-Session-Id", "X-Request-Id",
	}
}

// PersonHeaders lists the headers in which gateways usually name a person. No report has their
// values.
func PersonHeaders() []string {
	return []string{
		"X-Claude-Gateway-User-Email", "X-Claude-Gateway-User-Id", "X-Litellm-End-User-Id", "X-Forwarded-Email", "X-Forwarded-User",
		"X-Auth-Request-Email", "X-Auth-Request-User",
	}
}
