package proxy

import (
	"errors"
	"net/http"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/inbound"
)

// This file is for handlers of paths that are not sent to the upstream, such as /health. They judge
// senders, refuse requests and name responses as a Proxy does.

// Judge reports who sent r. Its error says why allow does not admit the sender. The request must
// have come through an [inbound.Server], whose connection is admitted, but never refused again: a
// sender that metrics.allow refuses may well send requests.
func (p *Proxy) Judge(r *http.Request, allow []config.Source) (access.Identity, error) {
	c := inbound.ConnOf(r)
	id, err := p.access.Judge(r.Context(), r.Header, &c.Sender, allow, p.current.Load().Identity)
	if err == nil {
		c.Admit()
	}
	return id, fromAccess(err)
}

// Refuse responds to r with an error of [Proxy.Judge].
func (p *Proxy) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = fail(CodeInternal, err, "internal error; the journal has the details")
	}
	w.Header().Set("Connection", "close")
	f.respond(w, p.Host, requestID(r.Header))
}

// Refusal returns an error for [Proxy.Refuse].
func Refusal(code Code, message string) error { return fail(code, nil, "%s", message) }

// NameResponse sets the x-request-id of a response that no [Proxy] makes.
func NameResponse(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(requestIDHeader, requestID(r.Header))
}
