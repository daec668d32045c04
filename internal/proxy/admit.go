package proxy

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/kernel"
)

// admit judges the sender before it looks at anything else in the request. Then it refuses the
// request by its header, or because its person cancels too fast, or waits for a slot.
func (x *exchange) admit() error {
	id, err := x.proxy.access.Judge(x.ctx, x.in.Header, &x.conn.Sender, x.cfg.Access.Allow, x.cfg.Identity)
	x.identify(id)
	x.reportShare(id.ShareFault)
	if err != nil {
		if r, ok := errors.AsType[*access.Refusal](err); ok && !r.Unproven {
			x.conn.Refuse()
		}
		return fromAccess(err)
	}
	x.conn.Admit()
	x.rec.admitted = true
	x.watch.begin()
	for _, step := range [...]func() error{
		x.inspect, x.judgeBrowser, x.checkLoop, x.checkCancellations, x.takeSlot,
		x.checkCancellations, // the person may have cancelled others meanwhile
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// takeSlot reads the body ahead before it waits for a slot, because the client may leave meanwhile.
func (x *exchange) takeSlot() error {
	x.beginBody()
	if err := x.proxy.queue.enter(x.ctx, &x.ticket, func() { x.rec.enter(phaseQueued, "") }); err != nil {
		return err
	}
	if x.unread() && kernel.HungUp(x.conn.Conn) { // net/http does not notice that
		return errClientGone
	}
	return nil
}

// reportShare logs why a share in the tailnet's policy is ignored, at most once a minute.
func (x *exchange) reportShare(fault string) {
	if fault == "" {
		return
	}
	if _, due := x.proxy.denials.Due("policy"); due {
		x.proxy.Log.Warn("a share of the slots in the tailnet's policy is ignored", "capability", access.ShareCapability, "error", fault)
	}
}

func (x *exchange) inspect() error {
	r := x.in
	switch {
	case x.conn.BadRequest != nil:
		return fromBadRequest(x.conn.BadRequest)
	case isPreface(r):
		return fail(CodeInvalidRequest, nil, "HTTP/2 without TLS is not served here; use HTTP/1.1")
	case x.conn.Misframed && !r.ProtoAtLeast(1, 1):
		return fail(CodeInvalidRequest, nil, "HTTP/1.0 has no Transfer-Encoding, so the end of the request is unknown; use HTTP/1.1")
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

// fromBadRequest turns net/http's refusal of a request into a failure with the same status.
func fromBadRequest(r *inbound.BadRequest) error {
	if r.Status == http.StatusRequestHeaderFieldsTooLarge {
		return fail(CodeHeadersTooLarge, nil, "the request header is larger than %d KiB", inbound.MaxHeaderBytes>>10)
	}
	f := fail(CodeInvalidRequest, nil, "the request is not valid HTTP/1.1: %s", r.Reason)
	if r.TLS {
		f.message = "this looks like TLS, which this port does not speak; the base URL must begin with http://"
	}
	f.status = r.Status
	return f
}

// asksUpgrade reports whether the client wants another protocol. An offer of h2c may be ignored
// (RFC 9110 §7.8). Clients that ask for other protocols would not understand an HTTP response.
func asksUpgrade(h http.Header) bool {
	return slices.ContainsFunc(config.AppendElements(nil, h["Upgrade"]...), func(offer string) bool {
		return !strings.EqualFold(offer, "h2c")
	})
}

// isPreface reports whether r is the preface of HTTP/2 without TLS (RFC 9113 §3.4). net/http passes
// it to handlers as a request, PRI * HTTP/2.0, and refuses every other request of that version.
func isPreface(r *http.Request) bool { return r.ProtoMajor == 2 }

// Judge reports who sent r, for the handler of a path that is not sent to the upstream, such as
// /health. Its error, for [Proxy.Refuse], says why allow does not admit the sender. r must have
// come through an [inbound.Server]. Its connection is admitted, but never refused again: a sender
// that metrics.allow refuses may well send requests.
func (p *Proxy) Judge(r *http.Request, allow []config.Source) (access.Identity, error) {
	c := inbound.ConnOf(r)
	id, err := p.access.Judge(r.Context(), r.Header, &c.Sender, allow, p.current.Load().Identity)
	if err == nil {
		c.Admit()
	}
	return id, fromAccess(err)
}
