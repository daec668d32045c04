package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"time"
)

// errNeverSent marks an attempt of which the upstream provably processed nothing.
var errNeverSent = errors.New("not processed by the upstream")

// errSwitched is why an answer of HTTP/2 is refused.
var errSwitched = errors.New("the upstream switched protocols unasked")

// send gives the header of the upstream's answer, its body still to come. An
// attempt is repeated only if the upstream provably never processed it, and only
// while the body can be read again.
func (x *exchange) send(out *http.Request) (*http.Response, error) {
	if x.body == nil {
		out.Body = nil
	} else if !x.awaitsContinue() {
		x.body.takeBuffered(x.conn)
	}
	if x.body != nil && !x.body.whole() {
		defer context.AfterFunc(x.ctx, x.body.interrupt)()
	}
	x.watch.giveUp, x.watch.report, x.watch.backlog = x.giveUp, x.reportProgress, x.backlog
	x.watch.begin(x.cfg.Timeouts)
	after := ""
	for {
		x.rec.attempt(after)
		answer, err := x.attempt(out)
		if err == nil {
			return answer, nil
		}
		if !x.mayRepeat(err) {
			return nil, err
		}
		x.watch.next(forConnection)
		after = keptText(err)
		x.proxy.metrics.retries.WithLabelValues(retryReason(err)).Inc()
		if err := x.pause(x.cfg.Retry.Backoff); err != nil {
			return nil, err
		}
	}
}

func (x *exchange) mayRepeat(err error) bool {
	return errors.Is(err, errNeverSent) && !errors.Is(err, errConnectTimeout) &&
		x.ctx.Err() == nil && x.rec.attempts < x.cfg.Retry.Attempts &&
		(x.body == nil || x.body.replayable())
}

func retryReason(err error) string {
	if _, ok := errors.AsType[*dialError](err); ok {
		return "connect"
	}
	return "unsent"
}

// pause waits out the time between two attempts.
func (x *exchange) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-x.ctx.Done():
		return context.Cause(x.ctx)
	}
}

// attempt sends the request once.
func (x *exchange) attempt(out *http.Request) (*http.Response, error) {
	x.watch.next(forConnection)
	conn, err := x.cfg.pool.get(x.ctx, x.readAhead)
	if err != nil {
		return nil, x.connectError(err)
	}
	x.upstream.Store(conn)
	x.rec.enter(step{phase: phaseSending, conn: conn.number, use: conn.uses.Add(1)})
	x.watch.next(forHeader)
	mark := conn.mark()
	request := out.WithContext(httptrace.WithClientTrace(x.ctx, x.clientTrace(mark)))
	if x.body != nil {
		x.watch.next(forUpstreamAccept)
		x.body.attempt(request)
	}
	answer, err := conn.cc.RoundTrip(request)
	if err != nil {
		return nil, sendError(err, mark.nothingSent())
	}
	if mark.unasked.Load() {
		_ = answer.Body.Close() // nobody wants it
		_ = conn.cc.Close()     // what else comes from there cannot be trusted
		return nil, errUnasked
	}
	return answer, nil
}

// backlog is what the kernel still holds for whose move it is. Over HTTP/2, to
// the upstream, that is not of one request alone, and windows let a write return early
// enough.
func (x *exchange) backlog(w waitingFor) int {
	switch up := x.upstream.Load(); {
	case w == forClientAccept:
		return unsent(x.conn.Conn)
	case w == forUpstreamAccept && up != nil && !up.http2:
		return unsent(up.raw.Conn)
	}
	return -1
}

// giveUp ends the request for a reason that the watch found.
func (x *exchange) giveUp(reason error) {
	x.cancel(reason)
	end := time.Now().Add(partingTime)
	if errors.Is(reason, errClientStuck) {
		end = time.Unix(1, 0)
	}
	_ = x.rc.SetWriteDeadline(end) // ends a write that is blocked, of a 1xx response too
}

// dialError is why no connection could be had.
type dialError struct{ cause error }

// Error implements error.
func (e *dialError) Error() string { return e.cause.Error() }

// Unwrap gives the cause, and that nothing was sent.
func (e *dialError) Unwrap() []error { return []error{e.cause, errNeverSent} }

func (x *exchange) connectError(err error) error {
	if x.ctx.Err() != nil {
		return err
	}
	return &dialError{cause: err}
}

// unsentError is an attempt that failed before the upstream could process it.
type unsentError struct{ cause error }

// Error implements error.
func (e *unsentError) Error() string { return e.cause.Error() }

// Unwrap gives the cause, and that nothing was processed.
func (e *unsentError) Unwrap() []error { return []error{e.cause, errNeverSent} }

// sendError marks the failures that prove the request unprocessed: not a byte was
// handed to the kernel, or HTTP/2 says so (RFC 9113 §8.7).
func sendError(err error, nothingWritten bool) error {
	if nothingWritten || refusedStream(err) {
		return &unsentError{cause: err}
	}
	return err
}

// refusedStream recognises REFUSED_STREAM, and a stream above the last one of a
// GOAWAY. For the latter net/http has no exported error, only these sentences.
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

// streamReset has the fields of golang.org/x/net/http2.StreamError, by which
// net/http's own error of that name lets itself be converted.
type streamReset struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error implements error.
func (r streamReset) Error() string {
	return fmt.Sprintf("stream %d reset with code %d", r.StreamID, r.Code)
}

// clientTrace has the transport tell of the beginning of the answer.
func (x *exchange) clientTrace(m *mark) *httptrace.ClientTrace {
	hold := func(bool) {}
	if x.body != nil && x.awaitsContinue() {
		hold = x.body.hold
	}
	return &httptrace.ClientTrace{
		GotFirstResponseByte: func() {
			m.hear()
			hold(true)
		},
		Got100Continue: func() { hold(false) },
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			if m.unasked.Load() {
				return errUnasked
			}
			hold(false) // there may be no 100
			return x.informational(code, http.Header(header))
		},
	}
}

// informational passes 1xx answers on, but for 100: the transport takes that for
// leave to read the body, and then inform sends ours. A 101 does not exist in HTTP/2
// (RFC 9113 §8.6), and net/http would send it as the final answer.
func (x *exchange) informational(code int, header http.Header) error {
	if code == http.StatusSwitchingProtocols {
		return errSwitched
	}
	if code != http.StatusContinue && x.in.ProtoAtLeast(1, 1) {
		x.inform(code, header)
	}
	return nil
}

// explainUpstream says what the upstream did wrong.
func (x *exchange) explainUpstream(err error) *failure {
	if _, ok := errors.AsType[*dialError](err); ok {
		if errors.Is(err, errConnectTimeout) {
			return fail(CodeConnectTimeout, err, "no connection to %s within %v", x.cfg.Upstream.URL.Host, x.cfg.Upstream.ConnectTimeout)
		}
		return fail(CodeUpstreamConnect, err, "no connection to %s", x.cfg.Upstream.URL.Host)
	}
	if x.rec.firstByte > 0 {
		return fail(CodeUpstreamInterrupted, err, "the upstream broke off its answer")
	}
	if errors.Is(err, errNeverSent) {
		return fail(CodeUpstreamProtocol, err, "the upstream refused the request before processing it")
	}
	return fail(CodeUpstreamProtocol, err, "the connection to the upstream failed before its answer; it may have processed the request")
}
