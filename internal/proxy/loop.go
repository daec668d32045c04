package proxy

import (
	"errors"
	"hash/maphash"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"sync"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
)

// How a request is known to be one of ours that has come back; for the log.
var (
	errOwnConnection = errors.New("it came over a connection of our own to the upstream")
	errOurChanges    = errors.New("it equals a request as we have just sent it, with what the header rules changed")
	errSentAgain     = errors.New("it equals a request that we have just sent, written again by a proxy")
	errFromUpstream  = errors.New("it equals a request that we have just sent to the host from which it comes")
)

// loops recognizes the requests that come back because the upstream leads to this proxy. Without
// that, one request would take all slots.
//
// Nothing is added to a request for that. What is known of a request that waits for its response is
// remembered by its fingerprint, and compared with those that come in. A request that equals one
// that was sent may also be another one of the same client, so something must show that it is not:
// see [sentRequest.evidence].
//
// Requests to public addresses and through an upstream_proxy are not remembered: the usual
// configuration pays nothing.
type loops struct {
	key  maphash.Seed // nobody can make two requests alike, or learn a header from a fingerprint
	mu   sync.Mutex
	sent map[uint64][]*sentRequest
}

// maxAlike bounds what a request is compared with. Beyond, no more is remembered.
const maxAlike = 64

func newLoops() *loops {
	return &loops{key: maphash.MakeSeed(), sent: make(map[uint64][]*sentRequest)}
}

// arrival is a request as it came in.
type arrival struct {
	local, remote netip.AddrPort // of its connection; invalid for a Unix socket
	host          string
	version       int    // minor, of HTTP/1
	names         string // of its fields as they were written; empty: not known
	header        http.Header
	proxied       bool  // the header says on whose behalf it comes
	length        int64 // of the body; -1 if not known
}

func (x *exchange) arrival() arrival {
	return arrival{
		local: x.conn.Access.Local, remote: x.conn.Access.Remote, host: x.in.Host, version: x.in.ProtoMinor,
		names: x.conn.Names, header: x.in.Header, length: x.in.ContentLength,
		proxied: access.SpeaksForAnother(x.in.Header, x.cfg.Identity.Header),
	}
}

// sentRequest is what is remembered of a request while it waits for its response.
type sentRequest struct {
	came     arrival
	changed  bool           // by the header rules
	from, to netip.AddrPort // of the connection that it was sent on
	host     string         // as it was sent
}

// checkLoop refuses the request if it is one of ours that has come back.
func (x *exchange) checkLoop() error {
	again := x.arrival()
	for _, s := range x.proxy.loops.alike(x) {
		if reason := s.evidence(&again); reason != nil {
			return fail(CodeLoopDetected, reason,
				"this request has come back: upstream_url, %q, leads to this proxy again; set it to the API, such as \"https://api.anthropic.com\", and reload",
				x.cfg.Proxy.UpstreamURL)
		}
	}
	return nil
}

// alike are the requests that were sent as this one came in.
func (l *loops) alike(x *exchange) []*sentRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sent) == 0 {
		return nil
	}
	return slices.Clone(l.sent[l.fingerprint(x.in, x.in.Header, x.cfg.Identity.Header)])
}

// evidence is what shows that a is the request that was sent, and not another one like it. Any
// number of equal requests of one program on one machine have none.
func (s *sentRequest) evidence(a *arrival) error {
	if a.local == s.to && a.remote == s.from {
		return errOwnConnection
	}
	clients, own := forwardedFor(a.header), s.from.Addr()
	isOurs := func(addr netip.Addr) bool {
		return addr == own || addr.IsLoopback() || access.IsOwnAddress(addr)
	}
	switch {
	case s.came.length >= 0 && a.length >= 0 && s.came.length != a.length:
		return nil
	case len(clients) > 0 && !slices.ContainsFunc(clients, isOurs):
		return nil // proxies have sent it on for others
	}
	back, rewritten := s.couldReturnFrom(a), s.rewritten(a)
	switch {
	case s.changed && (back || rewritten):
		return errOurChanges
	case rewritten && (back || !own.IsLoopback() && slices.Contains(clients, own)):
		return errSentAgain
	case !s.staysHere() && a.remote.Addr() == s.to.Addr() && s.came.remote.Addr() != s.to.Addr():
		return errFromUpstream
	}
	return nil
}

// staysHere reports whether the upstream is on this host. A connection to an address of the host
// itself comes from that address.
func (s *sentRequest) staysHere() bool {
	return s.to.Addr().IsLoopback() || s.to.Addr() == s.from.Addr()
}

// couldReturnFrom reports whether a comes from where the request was sent: this host, or the
// upstream's. What was sent to the tailnet may come back through the tailscaled of this host.
func (s *sentRequest) couldReturnFrom(a *arrival) bool {
	from := a.remote.Addr()
	fromHere := !from.IsValid() || from.IsLoopback() || from == a.local.Addr()
	if s.staysHere() {
		return fromHere
	}
	return from == s.to.Addr() || config.IsTailscale(s.to.Addr()) && fromHere
}

// rewritten reports whether another program wrote a than the one that wrote the request that was
// sent, though it says the same. HTTP gives no meaning to the order and the spelling of field
// names, but a program writes them the same way each time, and a proxy its own way. Where a proxy
// keeps the Host, the request comes back with that which it was sent with.
func (s *sentRequest) rewritten(a *arrival) bool {
	return s.came.version != a.version || s.came.proxied != a.proxied ||
		s.came.host != s.host && a.host == s.host ||
		s.came.names != a.names && common(s.came.names, a.names) != common(a.names, s.came.names)
}

// common leaves out of names what others lacks, and what a program may write in another place from
// one request to the next: the fields about the connection and the body.
func common(names, others string) string {
	var kept strings.Builder
	others = "\n" + strings.ToLower(others)
	for name := range strings.Lines(names) {
		canonical := textproto.CanonicalMIMEHeaderKey(strings.TrimSuffix(name, "\n"))
		if strings.Contains(others, "\n"+strings.ToLower(name)) && mayTrail(canonical) && canonical != "Expect" {
			kept.WriteString(name)
		}
	}
	return kept.String()
}

// forwardedFor are the addresses for which proxies say that they have sent a request on. Each may
// have a port, or be spelled as RFC 7239 §4 does.
func forwardedFor(h http.Header) (all []netip.Addr) {
	for _, name := range [...]string{"X-Forwarded-For", "X-Real-Ip", "Forwarded"} {
		for _, line := range h[name] {
			for word := range strings.FieldsFuncSeq(line, func(c rune) bool { return strings.ContainsRune(` ,;="[]`, c) }) {
				if end, err := netip.ParseAddrPort(word); err == nil {
					all = append(all, access.Plain(end).Addr())
				} else if addr, err := netip.ParseAddr(word); err == nil {
					all = append(all, addr.Unmap().WithZone(""))
				}
			}
		}
	}
	return all
}

// remember keeps what out is known by, which is about to be sent from and to these addresses. What
// it gives ends that: the response has begun, or the request failed.
func (x *exchange) remember(out *http.Request, from, to netip.AddrPort) (forget func()) {
	up := x.cfg.Proxy
	tunnelled := up.UpstreamURL.Scheme == "https" && len(up.UpstreamProxies) > 0
	if !to.IsValid() || tunnelled || !isNear(from.Addr(), to.Addr()) {
		return func() {}
	}
	l, person := x.proxy.loops, x.cfg.Identity.Header
	print := l.fingerprint(x.in, out.Header, person)
	s := &sentRequest{came: x.arrival(), changed: print != l.fingerprint(x.in, x.in.Header, person), from: from, to: to, host: out.Host}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sent[print]) < maxAlike {
		l.sent[print] = append(l.sent[print], s)
	}
	return func() { l.forget(print, s) }
}

func (l *loops) forget(print uint64, s *sentRequest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := slices.DeleteFunc(l.sent[print], func(one *sentRequest) bool { return one == s })
	if l.sent[print] = left; len(left) == 0 {
		delete(l.sent, print)
	}
}

// isNear reports whether what is sent to remote may come back here: loopback, this host, the
// tailnet, private networks. local is the address from which it is sent.
func isNear(local, remote netip.Addr) bool {
	return remote == local || remote.IsLoopback() || remote.IsPrivate() || remote.IsLinkLocalUnicast() || config.IsTailscale(remote)
}

// fingerprint is equal for equal requests: the method, the target and the header h, without all
// that an intermediary drops, adds or writes another way. The order of the fields does not count,
// nor whether a list is one field or several (RFC 9110 §5.3).
func (l *loops) fingerprint(r *http.Request, h http.Header, personHeader string) uint64 {
	listed := listedIn(h["Connection"])
	sum := maphash.String(l.key, r.Method) + 3*maphash.String(l.key, originForm(r.Method, r.RequestURI))
	for name, values := range h {
		if name == "user-agent" {
			name = "User-Agent" // see keepUserAgent
		}
		if isHopByHop(name) || access.NamesOrigin(name, personHeader) || changesOnTheWay(name) || slices.Contains(listed, name) {
			continue
		}
		sum += l.field(name, values)
	}
	return sum
}

// field is 0 for a field that is empty, as some intermediaries drop those.
func (l *loops) field(name string, values []string) uint64 {
	var h maphash.Hash
	h.SetSeed(l.key)
	_, _ = h.WriteString(name) // never an error
	empty := true
	for _, value := range values {
		for element := range strings.SplitSeq(value, ",") {
			if element = strings.TrimSpace(element); element != "" {
				empty = false
				_ = h.WriteByte(',')
				_, _ = h.WriteString(element)
			}
		}
	}
	if empty {
		return 0
	}
	return h.Sum64()
}

// changesOnTheWay reports whether proxies that are otherwise faithful add a field or change it:
// framing, the codings that they accept themselves, and traces. It wants a canonical name.
func changesOnTheWay(name string) bool {
	switch name {
	case "Content-Length", "Expect", "Accept-Encoding",
		"X-Request-Id", "X-Correlation-Id", "Traceparent", "Tracestate", "Baggage", "B3", "X-Cloud-Trace-Context",
		"Cdn-Loop", "X-Scheme":
		return true
	}
	return strings.HasPrefix(name, "X-Envoy-") || strings.HasPrefix(name, "X-B3-") ||
		strings.HasPrefix(name, "X-Amzn-") || strings.HasPrefix(name, "X-Original-") || strings.HasPrefix(name, "Cf-")
}
