package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/upstream"
)

// A request ends early in one of two ways: a step returns an error, or another goroutine cancels
// x.ctx with a cause, and the step fails with an error that follows from it. explain makes one
// failure of both, or nil if the client left:
//
//	who ends it                              how                            explained as
//	a step                                   returns a failure              that
//	watch.look: a side is idle               giveUp(failure)                that
//	watch.look: the client accepts nothing   giveUp(errClientStalled)       nil
//	watch.look: the client hung up           giveUp(errClientGone)          nil
//	bodyBroke: too large, malformed          cancel(failure)                that
//	inbound.Conn: the client disconnected    cancel(context.Canceled)       nil
//	pass: a write to the client fails        returns errClientGone          nil
//	inbound: the time to drain is over       cancel(inbound.ErrDrainEnded)  draining
//	package upstream, net/http               returns another error          upstream_…
//
// Then end tells the client what it still can:
//
//	explained as  response  the client sees                        status, outcome   parting
//	nil           any       nothing: it left                       499, client_gone  partCut
//	a failure     begun     a cut, after an error event if it can  as begun, code    partCut
//	a failure     not yet   our own response                       both of the code  partUsual, or
//	                                                               partRefused if a body is unread

var (
	errClientGone = errors.New("the client disconnected")
	// errClientStalled is recorded like errClientGone, with its text.
	errClientStalled = errors.New("the client stopped reading: it accepted nothing for proxy.idle_timeout")
)

// parting says what is left to do with the client's connection.
type parting int

const (
	partUsual   parting = iota // net/http ends the response, and may read another request
	partRefused                // nothing: our response is written; the connection lingers and closes
	partCut                    // nothing: the connection closes, so that no response looks complete
)

// lastWriteTimeout is how long a client may take to accept what is still written after its request
// was given up, such as an event that says why its response is cut.
const lastWriteTimeout = time.Second

// giveUp ends the request from another goroutine.
func (x *exchange) giveUp(cause error) {
	x.cancel(cause)
	_ = x.rc.SetWriteDeadline(time.Now().Add(lastWriteTimeout)) // also ends a blocked write
}

// explain returns what the client is told about an error of carry, or nil if the client left.
func (x *exchange) explain(err error) *failure {
	ended := context.Cause(x.ctx) // nil while the request was not cancelled
	for _, e := range [...]error{err, ended} {
		if f, ok := errors.AsType[*failure](e); ok {
			return f
		}
	}
	cause, host := cmp.Or(ended, err), x.cfg.Proxy.UpstreamURL.Host
	_, connecting := errors.AsType[*upstream.ConnectError](cause)
	switch {
	case errors.Is(cause, context.Canceled), errors.Is(cause, errClientGone), errors.Is(cause, errClientStalled):
		return nil
	case errors.Is(cause, inbound.ErrDrainEnded):
		return fail(CodeDraining, nil, "the proxy is stopping or restarting; send the request again")
	case connecting && errors.Is(cause, upstream.ErrConnectTimeout):
		return fail(CodeUpstreamConnectTimeout, cause, "could not connect to %s in time", host)
	case connecting:
		return fail(CodeUpstreamConnect, cause, "could not connect to %s", host)
	case x.rec.FirstByte > 0:
		return fail(CodeUpstreamInterrupted, cause, "the upstream cut its response")
	case errors.Is(cause, upstream.ErrNotProcessed):
		return fail(CodeUpstreamProtocol, cause, "the upstream refused the request before processing it")
	}
	return fail(CodeUpstreamProtocol, cause, "the connection to the upstream failed before its response; it may have processed the request")
}

// end tells the client why it does not get the complete response, if that is still possible.
func (x *exchange) end(err error) {
	f := x.explain(err)
	x.headerMu.Lock()
	responded := x.responded
	x.responded = true
	x.headerMu.Unlock()
	if f == nil {
		text := ""
		if errors.Is(context.Cause(x.ctx), errClientStalled) {
			text = errClientStalled.Error()
		}
		x.rec.leave()
		x.setOutcome(outcomeClientGone, text)
		x.parting = partCut
		return
	}
	x.setOutcome(string(f.code), keptText(f))
	if responded {
		x.cut(f)
		return
	}
	if !x.rec.admitted || x.unread() {
		x.w.Header().Set("Connection", "close")
	}
	x.refuse(f)
}

// refuse sends a response of our own. It is not flushed: net/http writes it after close has counted
// the request. With an unread body it is flushed now, or the client would wait until the rest was
// read.
func (x *exchange) refuse(f *failure) {
	x.leaveBody()
	status, n := f.respond(x.w, x.proxy.Host, x.rec.RequestID)
	x.rec.setStatus(status)
	x.rec.sent.Store(int64(n))
	if x.unread() {
		_ = x.rc.Flush()        // the client may have left
		x.parting = partRefused // or net/http would hold the connection for half a second, and could not be stopped
	}
}

// cut ends a response early, so that it cannot look complete. In a stream of events of unknown
// length, at an event boundary, an error event says why.
func (x *exchange) cut(f *failure) {
	x.parting = partCut
	_ = x.rc.SetWriteDeadline(time.Now().Add(lastWriteTimeout)) // the client may not be reading
	if x.rec.Stream == StreamEvents && !x.torn && x.sse.atBoundary() && len(x.w.Header()["Content-Length"]) == 0 {
		n, _ := fmt.Fprintf(x.w, "event: error\ndata: %s\n\n", f.body(x.proxy.Host, x.rec.RequestID)) // best effort
		x.rec.sent.Add(int64(n))
		x.conn.PauseBeforeClose()
	}
	_ = x.rc.Flush() // best effort
}
