package upstream

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNotProcessed matches the errors that prove that the upstream processed nothing of a
	// request.
	ErrNotProcessed = errors.New("not processed by the upstream")
	// ErrConnectTimeout matches a [ConnectError] of a connection that took longer than
	// ConnectTimeout.
	ErrConnectTimeout = errors.New("no connection within connect_timeout")
	// errUnasked is why a response is not passed on: it came before its request was sent.
	errUnasked = errors.New("the upstream responded before the request was sent")
	// errShortLived is why a request got no connection although one was made.
	errShortLived = errors.New("the upstream takes no request on new connections")
	// errClosed is why a pool makes no connection any more.
	errClosed = errors.New("the pool is closed")
	// errPathDead is why a connection is given up whose peer does not respond to a ping.
	errPathDead = errors.New("the upstream does not respond to pings")
)

// ConnectError is why no connection could be had. It matches [ErrNotProcessed].
type ConnectError struct{ unsentError }

// unsentError is a request that failed before the upstream could process it.
type unsentError struct{ cause error }

// Error implements error.
func (e unsentError) Error() string { return e.cause.Error() }

// Unwrap gives the cause, and that nothing was processed.
func (e unsentError) Unwrap() []error { return []error{e.cause, ErrNotProcessed} }

// TunnelError is a proxy's refusal to connect to the upstream.
type TunnelError struct{ Status int }

// Error implements error.
func (e *TunnelError) Error() string { return fmt.Sprintf("CONNECT was refused: status %d", e.Status) }

// sendError marks the failures that prove a request unprocessed: not a byte was handed to the
// kernel, or HTTP/2 says so (RFC 9113 §8.7).
func sendError(err error, nothingSent bool) error {
	if nothingSent || refusedStream(err) {
		return unsentError{err}
	}
	return err
}

// refusedStream recognises REFUSED_STREAM, and a stream above the last one of a GOAWAY. For the
// latter net/http has no exported error, only these sentences.
func refusedStream(err error) bool {
	const refused = 7 // RFC 9113 §7
	if reset, ok := errors.AsType[streamReset](err); ok {
		return reset.Code == refused
	}
	text := err.Error()
	return strings.HasPrefix(text, "http2: Transport received Server's graceful shutdown GOAWAY") ||
		strings.HasPrefix(text, "http2: Transport received GOAWAY from server") ||
		strings.HasPrefix(text, "http2: client conn not usable") ||
		strings.HasPrefix(text, "http2: client conn could not be established")
}

// streamReset has the fields of golang.org/x/net/http2.StreamError, by which net/http's own error
// of that name lets itself be converted.
type streamReset struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error implements error.
func (r streamReset) Error() string {
	return fmt.Sprintf("stream %d reset with code %d", r.StreamID, r.Code)
}
