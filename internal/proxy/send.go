package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/upstream"
)

// send sends the request and returns the upstream's response when its header has come. It sends
// again only if the upstream provably processed nothing, and the body can be read again.
func (x *exchange) send(out *http.Request) (*http.Response, error) {
	if x.unread() {
		defer context.AfterFunc(x.ctx, x.body.interrupt)()
	}
	x.usage = x.proxy.limits.Sent(x.rec.limitUser())
	after := ""
	for {
		x.rec.attempt(after)
		response, err := x.attempt(out)
		if err == nil {
			return response, nil
		}
		if !x.mayRepeat(err) {
			return nil, err
		}
		x.watch.next(forConnection)
		after = keptText(err)
		reason := retryNotProcessed
		if _, ok := errors.AsType[*upstream.ConnectError](err); ok {
			reason = retryConnect
		}
		x.proxy.metrics.retries.WithLabelValues(reason).Inc()
		if err := x.pause(x.cfg.Proxy.Retry.Backoff); err != nil {
			return nil, err
		}
	}
}

func (x *exchange) mayRepeat(err error) bool {
	return errors.Is(err, upstream.ErrNotProcessed) && !errors.Is(err, upstream.ErrConnectTimeout) &&
		x.ctx.Err() == nil && x.rec.Attempts < x.cfg.Proxy.Retry.Attempts &&
		(x.body == nil || x.body.replayable())
}

// Why a request is sent again, as a label of a metric.
const (
	retryConnect      = "connect"
	retryNotProcessed = "not_processed"
)

func (x *exchange) pause(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-x.ctx.Done():
		return context.Cause(x.ctx)
	}
}

func (x *exchange) attempt(out *http.Request) (*http.Response, error) {
	x.watch.next(forConnection)
	conn, err := x.cfg.pool.Get(x.ctx)
	if err != nil {
		return nil, err
	}
	x.upstream.Store(conn)
	x.rec.enter(phaseSending, fmt.Sprintf("on connection %d, its request %d", conn.Number(), conn.Uses()+1))
	x.watch.next(forHeader)
	if x.body != nil {
		x.watch.next(forUpstreamAccept)
		x.body.attempt(out)
		// Otherwise net/http asks for the body even after a final response in place of the 100.
		// Over HTTP/2 it does not, and the connection is shared.
		out.Close = x.awaitsContinue() && !conn.HTTP2()
	}
	defer x.remember(out, access.Plain(conn.LocalAddr()), access.Plain(conn.RemoteAddr()))()
	response, err := conn.Send(x.ctx, out, x.informational)
	x.rec.change(func(t *Trace) { t.Steps = x.withWaiting(t.Steps) })
	return response, err
}
