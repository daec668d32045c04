package proxy

import (
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/upstream"
)

// Settings is all that a reload can change. A request takes one snapshot of
// it when it enters and keeps that to its end.
type Settings struct {
	// Upstream is where requests go. Settings that agree on it share its connections.
	Upstream upstream.Config
	Timeouts Timeouts
	Limits   Limits
	Retry    Retry
	Rules    []HeaderRule
	Access   access.Rules
	// LogIdentity turns the name of a node, a user or a tag, or an address, into what
	// the log says for it; an empty result is left out. nil: the name itself.
	LogIdentity func(string) string
}

// Timeouts of a request that has a connection. There is none on the whole
// request: a stream that moves may last for ever.
type Timeouts struct {
	// ResponseHeader runs from the last byte of the request to the header of
	// the answer.
	ResponseHeader time.Duration
	// Idle is how long no byte may be read or written in either direction.
	Idle time.Duration
}

// Limits on what is in the proxy at one time. They are resized in place by
// what [Proxy.Prepare] gives: requests that are already in stay in.
type Limits struct {
	// InFlight is how many requests may be at the upstream together.
	InFlight int
	// PerClient is the same for one client address; 0 is no such limit.
	PerClient int
	// Queue is how many more may wait, for QueueTimeout at most each.
	Queue        int
	QueueTimeout time.Duration
	// RequestBody is the size in bytes past which a request is refused.
	RequestBody int64
}

// Retry bounds the repeated attempts of requests that the upstream provably
// never processed.
type Retry struct {
	// Attempts counts the first one too.
	Attempts int
	// Backoff is the pause between two attempts.
	Backoff time.Duration
	// Memory is how many bytes of all request bodies together are kept for a
	// repeated attempt.
	Memory int64
}
