package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/inbound"
)

// admit judges the sender before it looks at anything else of the request, refuses what can be
// refused by the header alone and by what the same person did before, then waits for a slot.
func (x *exchange) admit() error {
	id, err := x.proxy.access.Judge(x.ctx, x.in.Header, &x.conn.Access, x.cfg.Access.Allow, x.cfg.Identity)
	x.rec.identify(id.As(x.cfg.LogIdentity), x.shownAddress(id))
	x.ticket = ticket{person: id.Key(x.client), session: x.rec.Session, share: id.Share}
	x.reportShare(id.ShareFault)
	if err := refused(err); err != nil {
		if f, ok := errors.AsType[*failure](err); ok && f.code == CodeAccessDenied {
			x.conn.Refuse()
		}
		return err
	}
	x.conn.Admit()
	x.rec.admitted = true
	if err := x.inspect(); err != nil {
		return err
	}
	if err := judgeBrowser(x.cfg.Access, x.in, x.proxy.ownName); err != nil {
		return err
	}
	if err := x.checkLoop(); err != nil {
		return err
	}
	if err := x.checkCancellations(); err != nil {
		return err
	}
	if err := x.takeSlot(); err != nil {
		return err
	}
	return x.checkCancellations() // others of this person may have been cancelled while it waited
}

// takeSlot waits for a slot.
func (x *exchange) takeSlot() error {
	err := x.proxy.queue.enter(x.ctx, &x.ticket, x.waitQueued)
	switch {
	case err == nil:
		x.admitted = true
		return nil
	case errors.Is(err, errQueueFull):
		return fail(CodeOverloaded, nil, "the queue is full, with %d requests, and nobody has more of them waiting than you",
			x.cfg.Proxy.QueueLimit)
	case errors.Is(err, errQueueTimeout):
		return fail(CodeOverloaded, nil, "your turn did not come within %v, as too many requests are in flight",
			x.cfg.Proxy.QueueTimeout)
	default:
		return err
	}
}

// reportShare logs why something that the tailnet's policy says of a share is ignored, once a
// minute.
func (x *exchange) reportShare(fault string) {
	if fault == "" {
		return
	}
	if _, due := x.proxy.denials.Due("policy"); due {
		x.proxy.log.Warn("a share of the slots in the tailnet's policy is ignored", "capability", access.ShareCapability, "error", fault)
	}
}

// inspect looks at the request line and header.
func (x *exchange) inspect() error {
	r := x.in
	switch {
	case x.conn.HeaderTooLarge:
		return fail(CodeHeadersTooLarge, nil, "the request header is larger than %d KiB", inbound.MaxHeaderBytes>>10)
	case isPreface(r):
		return fail(CodeInvalidRequest, nil, "HTTP/2 without TLS is not served here; use HTTP/1.1")
	case x.conn.Misframed && !r.ProtoAtLeast(1, 1):
		return fail(CodeInvalidRequest, nil, "HTTP/1.0 has no Transfer-Encoding; the end of the request is not known")
	case r.Method == http.MethodConnect:
		return fail(CodeInvalidRequest, nil, "CONNECT is not supported: this proxy has one upstream; set it as the base URL instead")
	case rawPath(r) == "":
		return fail(CodeInvalidRequest, nil, "the request target is neither a path nor a URL")
	case asksUpgrade(r.Header):
		return fail(CodeUpgradeRefused, nil, "protocol upgrades are not supported")
	case r.ContentLength > x.cfg.Proxy.MaxRequestBody:
		return tooLarge(x.cfg.Proxy.MaxRequestBody)
	}
	return nil
}

func tooLarge(limit int64) *failure {
	return fail(CodeTooLarge, nil, "the request body is larger than max_request_body, %d bytes", limit)
}

// asksUpgrade: an offer of h2c may be ignored (RFC 9110 §7.8); what else asks for another protocol
// would not understand a response in this one.
func asksUpgrade(h http.Header) bool {
	for _, line := range h["Upgrade"] {
		for offer := range strings.SplitSeq(line, ",") {
			if offer = strings.TrimSpace(offer); offer != "" && !strings.EqualFold(offer, "h2c") {
				return true
			}
		}
	}
	return false
}

// isPreface reports whether r is what a client of HTTP/2 without TLS sends first (RFC 9113 §3.4).
// net/http hands it to handlers as a request, PRI * HTTP/2.0, and refuses everything else of that
// version.
func isPreface(r *http.Request) bool { return r.ProtoMajor == 2 }

// takeBody prepares the reading of the body: a refusal too must not wait for it. Full duplex is
// what lets an upstream response before it has read the request (golang/go#40747 without it).
func (x *exchange) takeBody() {
	_ = x.rc.EnableFullDuplex() // every connection of net/http's can do it
	// Frames follow a preface. They are left unread like a body that is not wanted, so that the
	// close of the connection does not take the refusal with it.
	if !isPreface(x.in) && (x.in.Body == nil || x.in.Body == http.NoBody) {
		return
	}
	x.body = newRequestBody(x.in, x.rc, &x.cfg.Config, x.proxy.memory, &x.watch, x.bodyBroke)
	if x.awaitsContinue() {
		// net/http would send it on its own, but without regard to a 103.
		x.body.asked = func() { x.inform(http.StatusContinue, nil) }
	}
}

// awaitsContinue: the client sends its body only when asked for it (RFC 9110 §10.1.1). net/http has
// refused other expectations.
func (x *exchange) awaitsContinue() bool {
	return x.in.Header.Get("Expect") != "" && x.in.ProtoAtLeast(1, 1)
}

// waitQueued begins a wait in the queue.
func (x *exchange) waitQueued() {
	x.rec.enter(phaseQueued, "")
	x.readAhead()
}

// readAhead lets net/http notice a client that leaves while it waits; not one that awaits a 100, as
// reading would ask for the body.
func (x *exchange) readAhead() {
	if x.body != nil && !x.awaitsContinue() {
		x.body.readAhead()
	}
}

// isDisconnect: the connection broke, in contrast to bytes that break the rules.
func isDisconnect(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled)
}
