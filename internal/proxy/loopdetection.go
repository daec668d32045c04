package proxy

import (
	"errors"
	"hash/maphash"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
)

// How a request was recognized as one that has come back, for the log.
var (
	errOwnConnection = errors.New("it came over our own connection to the upstream")
	errSentAgain     = errors.New("it equals a request that we have just sent, and another program sent it")
)

// loops recognizes requests that come back because upstream_url leads to this proxy. Without it,
// one such request would take all slots.
//
// Nothing is added to requests. Each request that waits for its response is remembered by a
// fingerprint, and new requests with the same one are compared with it. Equality proves nothing:
// bodies are not compared, clients retry, and several hosts may do the same with the same key. So
// there must also be evidence that no client made the second request: see [sentRequest.evidence].
//
// Requests to public addresses and through an upstream_proxy are not remembered, so the usual
// configuration pays nothing.
type loops struct {
	key  maphash.Seed // secret, so that nobody can forge a fingerprint or learn a header from one
	mu   sync.Mutex
	sent map[uint64][]*sentRequest
}

// maxAlike bounds the remembered requests with one fingerprint.
const maxAlike = 64

func newLoops() *loops {
	return &loops{key: maphash.MakeSeed(), sent: make(map[uint64][]*sentRequest)}
}

// ProbeHeader has a random value in each request of "oauth-proxyd doctor".
const ProbeHeader = "X-Oauth-Proxyd-Probe"

// sentRequest is what is remembered about a request while it waits for its response.
type sentRequest struct {
	x        *exchange
	header   http.Header    // that was sent
	changed  bool           // by the header rules
	from, to netip.AddrPort // of the upstream connection
}

func (x *exchange) checkLoop() error {
	l := x.proxy.loops
	l.mu.Lock()
	var alike []*sentRequest
	if len(l.sent) > 0 {
		alike = slices.Clone(l.sent[x.arrivedAs()])
	}
	l.mu.Unlock()
	for _, s := range alike {
		if reason := s.evidence(x); reason != nil && sameHeader(s.header, x.in.Header, x.cfg.Identity.Header) {
			return fail(CodeLoopDetected, reason,
				"this request has come back: upstream_url, %q, leads to this proxy again; set it to the API, such as \"https://api.anthropic.com\", and reload",
				x.cfg.Proxy.UpstreamURL)
		}
	}
	return nil
}

// arrivedAs returns the fingerprint of the request as it came. It is computed once, as is
// forwarded, because the request is compared with up to maxAlike others.
func (x *exchange) arrivedAs() uint64 {
	if x.fingerprint == 0 {
		x.fingerprint = x.proxy.loops.fingerprint(x.in, x.in.Header, x.cfg)
		x.forwarded = access.IsForwarded(x.in.Header, x.cfg.Identity.Header)
	}
	return x.fingerprint
}

// evidence returns the proof that again, if it is equal to s, is s coming back, or nil.
//
//	again                                 is there proof?
//	came over our own connection          yes: the ends of that and of s's connection are the same
//	has another Content-Length            no: it has another body
//	is from a host s was not sent to      no: it is another client's
//	is from the upstream's host, and
//	  equals s only as our rules made it  yes: the client sent something else
//	  s came from another host            yes: it has moved
//	  is a probe of doctor                yes: a random value is never sent twice
//	  has another minor version of HTTP   yes: another program sent it
//	  only one of them was forwarded      yes: likewise
//	  none of these                       no: a client there may have sent both
func (s *sentRequest) evidence(again *exchange) error {
	first, second, from := s.x.in, again.in, &again.conn.Sender
	switch {
	case from.Local == s.to && from.Remote == s.from:
		return errOwnConnection
	case first.ContentLength >= 0 && second.ContentLength >= 0 && first.ContentLength != second.ContentLength,
		!s.couldReturnFrom(from):
		return nil
	case s.changed, s.moved(from), second.Header[ProbeHeader] != nil,
		first.ProtoMinor != second.ProtoMinor, s.x.forwarded != again.forwarded:
		return errSentAgain
	}
	return nil
}

// staysHere reports whether the upstream is on this host. A connection to an address of the host
// itself comes from that address.
func (s *sentRequest) staysHere() bool {
	return s.to.Addr().IsLoopback() || s.to.Addr() == s.from.Addr()
}

// couldReturnFrom reports whether a sender is on the host to which s was sent: this one, or the
// upstream's. What was sent to the tailnet may come back through this host's tailscaled.
func (s *sentRequest) couldReturnFrom(sender *access.Conn) bool {
	from := sender.Remote.Addr()
	fromHere := !from.IsValid() || from.IsLoopback() || from == sender.Local.Addr()
	if s.staysHere() {
		return fromHere
	}
	return from == s.to.Addr() || config.IsTailscale(s.to.Addr()) && fromHere
}

// moved reports whether a sender is on the upstream's host, and s came from another one.
func (s *sentRequest) moved(sender *access.Conn) bool {
	to := s.to.Addr()
	return !s.staysHere() && sender.Remote.Addr() == to && s.x.conn.Sender.Remote.Addr() != to
}

// remember remembers out, which is about to be sent between these addresses. The caller calls
// forget when the response has begun or the request has failed.
func (x *exchange) remember(out *http.Request, from, to netip.AddrPort) (forget func()) {
	up := x.cfg.Proxy
	tunnelled := up.UpstreamURL.Scheme == "https" && len(up.UpstreamProxies) > 0
	if !to.IsValid() || tunnelled || !isNear(from.Addr(), to.Addr()) {
		return func() {}
	}
	l := x.proxy.loops
	print := l.fingerprint(x.in, out.Header, x.cfg)
	s := &sentRequest{x: x, header: out.Header, changed: print != x.arrivedAs(), from: from, to: to}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sent[print]) < maxAlike {
		l.sent[print] = append(l.sent[print], s)
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.sent[print] = slices.DeleteFunc(l.sent[print], func(one *sentRequest) bool { return one == s })
		if len(l.sent[print]) == 0 {
			delete(l.sent, print)
		}
	}
}

// isNear reports whether a request to remote may come back: to loopback, this host, the tailnet or
// a private network. local is our address.
func isNear(local, remote netip.Addr) bool {
	return remote == local || remote.IsLoopback() || remote.IsPrivate() || remote.IsLinkLocalUnicast() || config.IsTailscale(remote)
}

// fingerprint returns the same number for requests that sameHeader may find equal. Of the header h,
// it covers only what tells people and sessions apart, and what the header rules of c may change:
// to hash the rest would take 3 % of the processor time of a short request. A reload that changes
// the rules hides the requests in flight.
func (l *loops) fingerprint(r *http.Request, h http.Header, c *snapshot) uint64 {
	sum := maphash.String(l.key, r.Method) + 3*maphash.String(l.key, originForm(r.Method, r.RequestURI))
	for i, name := range [...]string{"Authorization", "X-Api-Key", sessionHeader} {
		for _, value := range h[name] {
			sum += uint64(5+2*i) * maphash.String(l.key, value)
		}
	}
	for _, rule := range c.Headers {
		if isCompared(rule.Name, c.Identity.Header) {
			sum += l.field(h, rule.Name)
		}
	}
	return sum
}

// field returns a field's part of the fingerprint: 0 for an empty one.
func (l *loops) field(h http.Header, name string) uint64 {
	var room [4]string // enough for most fields, and not on the heap
	elements := appendField(room[:0], h, name)
	if len(elements) == 0 {
		return 0
	}
	var hash maphash.Hash
	hash.SetSeed(l.key)
	_, _ = hash.WriteString(name)
	for _, element := range elements {
		_ = hash.WriteByte(',')
		_, _ = hash.WriteString(element)
	}
	return hash.Sum64()
}

// appendField appends the elements of a field, because an intermediary may join the lines of a list
// or split it (RFC 9110 §5.3). An empty field has none, because some intermediaries drop it.
func appendField(list []string, h http.Header, name string) []string {
	if name == "User-Agent" {
		list = config.AppendElements(list, h[strings.ToLower(name)]...) // see keepUserAgent
	}
	return config.AppendElements(list, h[name]...)
}

// sameHeader reports whether two headers are equal, apart from the order of fields, the lines of
// lists, and the fields that an intermediary drops, adds or changes.
func sameHeader(a, b http.Header, personHeader string) bool {
	elements := func(h http.Header, name string) []string {
		if isListed(h, name) {
			return nil
		}
		return appendField(nil, h, name)
	}
	for _, h := range []http.Header{a, b} {
		for name := range h {
			name = http.CanonicalHeaderKey(name)
			if isCompared(name, personHeader) && !slices.Equal(elements(a, name), elements(b, name)) {
				return false
			}
		}
	}
	return true
}

// isCompared reports whether a field should pass intermediaries unchanged. name is canonical.
func isCompared(name, personHeader string) bool {
	return !isHopByHop(name) && !changesInTransit(name) && !access.IsForwardedField(name, personHeader)
}

// isListed reports whether the Connection of a header says that a field is for this hop only.
func isListed(h http.Header, name string) bool {
	return slices.ContainsFunc(config.AppendElements(nil, h["Connection"]...), func(option string) bool {
		return strings.EqualFold(option, name)
	})
}

// changesInTransit reports whether even a faithful proxy adds, drops or changes the field, which is
// about framing, accepted codings or traces. name is canonical.
func changesInTransit(name string) bool {
	switch name {
	case "Content-Length", "Expect", "Te", "Accept-Encoding",
		"X-Request-Id", "X-Correlation-Id", "Traceparent", "Tracestate", "Baggage", "B3", "X-Cloud-Trace-Context",
		"Cdn-Loop", "X-Scheme":
		return true
	}
	return strings.HasPrefix(name, "X-Envoy-") || strings.HasPrefix(name, "X-B3-") ||
		strings.HasPrefix(name, "X-Amzn-") || strings.HasPrefix(name, "X-Original-") || strings.HasPrefix(name, "Cf-")
}
