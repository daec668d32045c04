package fakeupstream

import (
	"net/http"
	"time"
)

// Config says how the upstream behaves. Its zero value is a cleartext HTTP/1.1
// server that answers as fast as it can.
type Config struct {
	// EventInterval is the pause before each event of a stream but the first;
	// 0 means none. The model "slow" has its own, 200 ms.
	EventInterval time.Duration

	// RequireOAuthBeta refuses a subscription's bearer token (sk-ant-oat…)
	// with 401 unless anthropic-beta lists oauth-2025-04-20, as
	// api.anthropic.com does.
	RequireOAuthBeta bool

	// Observe, if not nil, is called once for each request, when its body has
	// been read or given up and, for a streamed answer, before the answer
	// begins. Calls may be concurrent. It must not block for long: the client
	// waits meanwhile.
	Observe func(Request)

	// Wrap, if not nil, is called once with the API, and what it returns serves
	// the requests in its place: to see what is sent, or to hold it back. A
	// ResponseWriter of its own must have Unwrap (http.ResponseController).
	Wrap func(http.Handler) http.Handler

	// TLS serves TLS with a certificate made for this server alone; see
	// Server.CertificatePEM.
	TLS bool

	// HTTP2 offers HTTP/2 beside HTTP/1.1: by ALPN with TLS, with prior
	// knowledge (h2c, RFC 9113 §3.3) without.
	HTTP2 bool
}
