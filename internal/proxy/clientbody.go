package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
)

// takeBody prepares to read the body while the response is written, because a refusal, or an early
// response of the upstream, must not wait for the body (golang/go#40747).
func (x *exchange) takeBody() {
	_ = x.rc.EnableFullDuplex() // net/http supports it on every HTTP/1 connection
	// After the preface of HTTP/2 come frames. They count as an unread body: closing a connection
	// with unread bytes would reset it before the client has read the refusal.
	if !isPreface(x.in) && (x.in.Body == nil || x.in.Body == http.NoBody) {
		return
	}
	x.body = newRequestBody(x)
}

// unread reports whether there is a body that was not read to its end. Until then, net/http does
// not notice a client that leaves, and the connection cannot carry another request.
func (x *exchange) unread() bool { return x.body != nil && !x.body.whole() }

// beginBody starts to read the body, so that net/http notices a client that leaves. It does nothing
// if the client waits for a 100, because reading would ask for the body.
func (x *exchange) beginBody() {
	if x.body != nil && !x.awaitsContinue() {
		x.body.begin(x.conn)
	}
}

// bodyBroke cancels a request whose body ends early. The cause names the body's error, so that this
// is reported instead of the upstream error that follows. It must not call methods of the body.
func (x *exchange) bodyBroke(err error) {
	switch {
	case errors.Is(err, errTooLarge):
		x.cancel(tooLarge(x.cfg.Proxy.MaxRequestBody))
	case isDisconnect(err):
		x.cancel(errClientGone)
	default:
		x.cancel(fail(CodeInvalidRequest, err, "the request body is not well-formed HTTP"))
	}
}

func tooLarge(limit int64) *failure {
	return fail(CodeRequestTooLarge, nil, "the request body is larger than max_request_body, %d bytes", limit)
}

// isDisconnect reports whether an error means that the connection broke, and not that bytes were
// malformed.
func isDisconnect(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled)
}
