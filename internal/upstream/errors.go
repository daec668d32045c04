package upstream

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

var (
	// ErrNotProcessed matches errors that prove that the upstream processed nothing of a request.
	ErrNotProcessed = errors.New("not processed by the upstream")
	// ErrConnectTimeout matches a [ConnectError] if connecting took longer than ConnectTimeout, or
	// one stage of it took longer than its share.
	ErrConnectTimeout = errors.New("connect timeout")
	// errUnsolicited is the error for a response that came before its request was sent; it is not
	// passed on.
	errUnsolicited = errors.New("the upstream responded before the request was sent")
	// errShortLived is the error if a connection was made but takes no request.
	errShortLived = errors.New("the upstream takes no request on new connections")
	// errClosed is the error of Get after Close.
	errClosed = errors.New("the pool is closed")
	// errNoCloseNotify is the error for a connection whose end may be an attacker's (RFC 9112
	// §9.8).
	errNoCloseNotify = fmt.Errorf("the connection ended without TLS's close_notify: %w", io.ErrUnexpectedEOF)
	// errPathDead is the error for requests on a connection that was closed because its peer did
	// not respond to a ping.
	errPathDead = errors.New("the upstream does not respond to pings")
)

// ConnectError says why there is no connection. It matches [ErrNotProcessed].
type ConnectError struct{ unsentError }

// unsentError is the error for a request that the upstream did not process.
type unsentError struct{ cause error }

func (e unsentError) Error() string { return e.cause.Error() }

// Unwrap returns the cause and ErrNotProcessed.
func (e unsentError) Unwrap() []error { return []error{e.cause, ErrNotProcessed} }

// TunnelError says that a proxy refused to connect to the upstream.
type TunnelError struct {
	Proxy  string // its host and port
	Status int
}

func (e *TunnelError) Error() string {
	return fmt.Sprintf("CONNECT refused with status %d", e.Status)
}

// refusedStream reports whether an HTTP/2 peer provably did not process the request. net/http
// exports no errors for this, only texts (package net/http/internal/http2):
//
//	"REFUSED_STREAM; received from peer"     the peer says so (RFC 9113 §8.7)
//	"received … GOAWAY"                      the stream is above the last one in the GOAWAY (§6.8):
//	                                         processGoAway aborts only such streams with these texts
//	"not usable", "not be established"       awaitOpenSlotForStreamLocked returns these before the
//	                                         request has a stream, so none of its frames was written
func refusedStream(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "stream error: stream ID ") && strings.HasSuffix(text, "; REFUSED_STREAM; received from peer") ||
		strings.HasPrefix(text, "http2: Transport received Server's graceful shutdown GOAWAY") ||
		strings.HasPrefix(text, "http2: Transport received GOAWAY from server") ||
		strings.HasPrefix(text, "http2: client conn not usable") ||
		strings.HasPrefix(text, "http2: client conn could not be established")
}
