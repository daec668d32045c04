package proxy

import (
	"net/url"
	"time"
)

// Settings is all that a reload can change. A request takes one snapshot of
// it when it enters and keeps that to its end.
type Settings struct {
	Upstream Upstream
	Timeouts Timeouts
	Limits   Limits
	Retry    Retry
	Rules    []HeaderRule
	Access   Access
	// LogIdentity turns the name of a node, a user or a tag, or an address, into what
	// the log says for it; an empty result is left out. nil: the name itself.
	LogIdentity func(string) string
}

// Upstream says where requests go. Two equal values share their connections,
// so that a reload which changes something else keeps them.
type Upstream struct {
	// URL has a scheme (http or https) and a host, nothing else.
	URL *url.URL
	// RootCAs holds PEM certificates that are trusted beside the system's.
	RootCAs []byte
	// Proxy is an HTTP CONNECT proxy; nil connects directly.
	Proxy *url.URL
	// ConnectTimeout bounds DNS, TCP and TLS together.
	ConnectTimeout time.Duration
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

// sameTarget reports whether connections made for one serve the other.
func (u Upstream) sameTarget(v Upstream) bool {
	return u.URL.String() == v.URL.String() && string(u.RootCAs) == string(v.RootCAs) &&
		proxyString(u.Proxy) == proxyString(v.Proxy) && u.ConnectTimeout == v.ConnectTimeout
}

func proxyString(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.String()
}
