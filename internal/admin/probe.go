package admin

import (
	"net/http"
	"time"
)

const (
	// ProbeHeader is the header with the nonce of a probe, the request that "oauth-proxyd doctor"
	// sends through a gateway. The nonce is looked for nowhere else. It is in a header because a
	// gateway builds the URL of its own request, and passes headers on.
	ProbeHeader = "X-Oauth-Proxyd-Probe"
	// ProbeAuthorization, followed by the nonce, is the Authorization of a probe. It opens nothing.
	ProbeAuthorization = "Bearer sk-ant-oat01-doctor-"
	// ProbePerson is whom a probe claims to be from, where gateways are believed about persons. One
	// that names people itself replaces it.
	ProbePerson = "doctor@oauth-proxyd.invalid"
)

// ProbeReport is what became of a probe. Most of it is about its first arrival.
type ProbeReport struct {
	Arrivals int `json:"arrivals"`
	// Refused is why the access rules did not admit it; empty: they did.
	Refused string `json:"refused,omitempty"`
	// Sender is who sent it, as the access rules see it. Entry is the narrowest entry of
	// access.allow for the sender; empty: there is none.
	Sender string `json:"sender,omitempty"`
	Entry  string `json:"entry,omitempty"`
	Target string `json:"target,omitempty"` // path and query
	// Authorization is "same", "changed" or "absent". APIKey reports an x-api-key, which a probe
	// does not have. Header has the ProbeHeaders.
	Authorization string      `json:"authorization,omitempty"`
	APIKey        bool        `json:"api_key"`
	Header        http.Header `json:"header,omitempty"`
	// NamedIn are the headers that came in which gateways name a person: that of identity first.
	// Named reports whether the daemon knows the person by it, Person is their name as log.identity
	// allows, and PersonDoubt is why the header of identity was not believed. Claimed reports that
	// ProbePerson came in it. Gateway is the entry of identity.from for the sender; empty: it must
	// not be told.
	NamedIn     []string `json:"named_in,omitempty"`
	Named       bool     `json:"named"`
	Person      string   `json:"person,omitempty"`
	PersonDoubt string   `json:"person_doubt,omitempty"`
	Claimed     bool     `json:"claimed"`
	Gateway     string   `json:"gateway,omitempty"`
	// Upstream is the anthropic-beta that the upstream would get.
	Upstream []string `json:"upstream,omitempty"`
	// Sent is when each event of the response was sent, and Complete reports whether all were.
	Sent     []time.Time `json:"sent,omitempty"`
	Complete bool        `json:"complete"`
}

// ProbeHeaders are the headers of which a report has the values: a fixed list, so that it shows
// nothing that belongs to somebody else.
func ProbeHeaders() []string {
	return []string{
		"Accept", "Anthropic-Beta", "Anthropic-Version", "Content-Type", "User-Agent",
		"X-App", "X-Claude-Code-Session-Id", "X-Request-Id",
	}
}

// PersonHeaders are those in which gateways usually name a person. No report has their values.
func PersonHeaders() []string {
	return []string{
		"X-Claude-Gateway-User-Email", "X-Claude-Gateway-User-Id", "X-Litellm-End-User-Id", "X-Forwarded-Email", "X-Forwarded-User",
	}
}
