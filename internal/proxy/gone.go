package proxy

import (
	"math"
	"time"
)

// This file is what a watch asks of an exchange, and how it ends one. See watched.

// clientLeft reports whether the client left, and whether net/http would not notice that, because
// the body was not read to its end.
func (x *exchange) clientLeft() (left, unnoticed bool) {
	if x.body == nil || x.body.whole() {
		return false, false
	}
	return x.conn.Left(), true
}

// backlog returns how many bytes the kernel still holds for a side; -1 if unknown.
func (x *exchange) backlog(w waitingFor) int {
	switch up := x.upstream.Load(); {
	case w == forClientAccept:
		return x.conn.Unsent()
	case w == forUpstreamAccept && up != nil:
		return up.Unsent()
	}
	return -1
}

// silence returns how long no byte of the response has come; endless if unknown. net/http holds
// back a part of a chunk, so a slow chunk is no silence.
func (x *exchange) silence(w waitingFor) time.Duration {
	if up := x.upstream.Load(); w == forUpstreamBody && up != nil {
		return up.Silence()
	}
	return math.MaxInt64
}

// abandon ends the request because its client left, or does not read.
func (x *exchange) abandon() {
	x.cancel(errClientGone)
	_ = x.rc.SetWriteDeadline(time.Unix(1, 0)) // also ends a blocked write
}

// giveUp ends the request because a side has been idle for too long.
func (x *exchange) giveUp(w waitingFor) {
	if w == forClientAccept {
		x.abandon()
		return
	}
	x.cancel(x.idleFailure(w))
	_ = x.rc.SetWriteDeadline(time.Now().Add(lastWriteTimeout)) // also of a 1xx response
}

// idleFailure returns the failure for a side that was idle for too long.
func (x *exchange) idleFailure(w waitingFor) *failure {
	idle := x.cfg.Proxy.IdleTimeout
	switch w {
	case forClientBody:
		return fail(CodeClientIdle, nil, "no byte of the request body came for %v", idle)
	case forUpstreamAccept:
		return fail(CodeHeaderTimeout, nil, "the upstream accepted no byte of the request for %v; it may have processed part of it", idle)
	case forHeader:
		return fail(CodeHeaderTimeout, nil, "the upstream did not begin its response within %v; it may have processed the request", x.cfg.Proxy.ResponseHeaderTimeout)
	default: // forUpstreamBody
		return fail(CodeUpstreamIdle, nil, "the upstream sent nothing for %v in the middle of its response", idle)
	}
}
