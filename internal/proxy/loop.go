package proxy

import (
	"errors"
	"hash/maphash"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"oauth-proxyd/internal/access"
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
// remembered, and compared with those that come in. A request that equals one that was sent may
// also be another one of the same client, so something must show that it is not: see
// [sentForm.evidence].
//
// Requests to public addresses and through an upstream_proxy are not remembered: the usual
// configuration pays nothing.
type loops struct {
	prints fingerprints
	sent   atomic.Int64 // requests that are remembered

	mu      sync.Mutex
	sockets map[socketPair]int      // connections that they were sent on
	groups  map[uint64][]*sentGroup // by their fingerprint
}

// socketPair names a TCP connection, as one of its ends sees it.
type socketPair struct{ local, remote netip.AddrPort }

// reversed is the same connection as the other end sees it.
func (p socketPair) reversed() socketPair { return socketPair{p.remote, p.local} }

// sentGroup counts the requests of one form with the same fingerprint, so that the duplicates of a
// busy client are one thing to compare with.
type sentGroup struct {
	form  sentForm // never changes
	count int      // guarded by loops.mu
}

// maxGroups bounds what a request is compared with. Beyond, no more is remembered.
const maxGroups = 64

// sentForm is what is remembered of a request beside its fingerprint.
type sentForm struct {
	came    hopForm    // as it came in
	changed bool       // the header rules changed it
	length  int64      // of the body; -1 if not known
	host    string     // as it was sent
	local   netip.Addr // of the connection that it was sent on
	remote  netip.Addr
}

// arrival is a request that came in.
type arrival struct {
	hopForm
	header http.Header
	local  netip.Addr // of its connection
	length int64
}

func newLoops() *loops {
	return &loops{
		prints:  fingerprints{maphash.MakeSeed()},
		sockets: make(map[socketPair]int), groups: make(map[uint64][]*sentGroup),
	}
}

// checkLoop refuses the request if it is one of ours that has come back.
func (x *exchange) checkLoop() error {
	l := x.proxy.loops
	if l.sent.Load() == 0 {
		return nil
	}
	reason := l.find(x)
	if reason == nil {
		return nil
	}
	return fail(CodeLoopDetected, reason,
		"this request has come back: upstream_url, %q, leads to this proxy again; set it to the API, such as \"https://api.anthropic.com\", and reload",
		x.cfg.Proxy.UpstreamURL)
}

func (x *exchange) printAsReceived() uint64 {
	return x.proxy.loops.prints.of(x.in.Method, originForm(x.in.Method, x.in.RequestURI), x.in.Header)
}

// find gives the reason for which a request is one that has come back; nil: it is not known to be.
func (l *loops) find(x *exchange) error {
	local, remote := x.conn.Access.Local, x.conn.Access.Remote
	ours, alike := l.lookUp(socketPair{local, remote}.reversed(), x.printAsReceived())
	if ours {
		return errOwnConnection
	}
	if len(alike) == 0 {
		return nil
	}
	a := &arrival{formOf(x.in, x.conn), x.in.Header, local.Addr(), x.in.ContentLength}
	for _, g := range alike {
		if reason := g.form.evidence(a); reason != nil {
			return reason
		}
	}
	return nil
}

// lookUp reports whether a request was sent on a connection, and which have a fingerprint.
func (l *loops) lookUp(pair socketPair, print uint64) (ours bool, alike []*sentGroup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sockets[pair] > 0, slices.Clone(l.groups[print])
}

// evidence is what shows that a is the request that was sent, and not another one like it. Any
// number of equal requests of one program on one machine have none.
func (s *sentForm) evidence(a *arrival) error {
	if s.length >= 0 && a.length >= 0 && s.length != a.length {
		return nil
	}
	if !s.changed && s.came == a.hopForm || a.isForAnother(s.local) {
		return nil
	}
	back, rewritten := s.couldReturnFrom(a), s.came.rewritten(&a.hopForm, s.host)
	switch {
	case s.changed && (back || rewritten):
		return errOurChanges
	case rewritten && (back || a.isFor(s.local)):
		return errSentAgain
	case !s.staysHere() && a.remote == s.remote && s.came.remote != s.remote:
		return errFromUpstream
	}
	return nil
}

// staysHere reports whether the upstream is on this host. A connection to an address of the host
// itself comes from that address.
func (s *sentForm) staysHere() bool { return s.remote.IsLoopback() || s.remote == s.local }

// couldReturnFrom reports whether a comes from where the request was sent: this host, or the
// upstream's. What was sent to the tailnet may come back through the tailscaled of this host.
func (s *sentForm) couldReturnFrom(a *arrival) bool {
	fromHere := !a.remote.IsValid() || a.remote.IsLoopback() || a.remote == a.local
	if s.staysHere() {
		return fromHere
	}
	return a.remote == s.remote || access.IsTailscale(s.remote) && fromHere
}

// isFor reports whether a proxy says that it has sent the request on for addr. Loopback addresses
// are those of every host.
func (a *arrival) isFor(addr netip.Addr) bool {
	return !addr.IsLoopback() && slices.Contains(forwardedFor(a.header), addr)
}

// isForAnother reports whether proxies name those for whom they have sent the request on, and this
// host is none of them. own is an address of this host.
func (a *arrival) isForAnother(own netip.Addr) bool {
	clients := forwardedFor(a.header)
	return len(clients) > 0 && !slices.ContainsFunc(clients, func(addr netip.Addr) bool {
		return addr == own || addr.IsLoopback() || access.IsOwnAddress(addr)
	})
}

// passage is a request that is remembered; nil: one that is not.
type passage struct {
	loops *loops
	print uint64
	pair  socketPair
	group *sentGroup // nil: too many are remembered
}

// remember keeps what out is known by, which is about to be sent on a connection, until forget.
func (x *exchange) remember(out *http.Request, pair socketPair) *passage {
	up := x.cfg.Proxy
	tunnelled := up.UpstreamURL.Scheme == "https" && len(up.UpstreamProxies) > 0
	if !pair.remote.IsValid() || tunnelled || !isNear(pair.local.Addr(), pair.remote.Addr()) {
		return nil
	}
	l := x.proxy.loops
	print := l.prints.of(x.in.Method, originForm(x.in.Method, x.in.RequestURI), out.Header)
	form := sentForm{
		came: formOf(x.in, x.conn), changed: print != x.printAsReceived(), length: x.in.ContentLength,
		host: out.Host, local: pair.local.Addr(), remote: pair.remote.Addr(),
	}
	l.sent.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sockets[pair]++
	return &passage{l, print, pair, l.join(print, &form)}
}

// join counts a request. The caller holds mu.
func (l *loops) join(print uint64, form *sentForm) *sentGroup {
	groups := l.groups[print]
	for _, g := range groups {
		if g.form == *form {
			g.count++
			return g
		}
	}
	if len(groups) >= maxGroups {
		return nil
	}
	g := &sentGroup{*form, 1}
	l.groups[print] = append(groups, g)
	return g
}

// forget ends a remembered request: its response has begun, or it failed.
func (p *passage) forget() {
	if p == nil {
		return
	}
	l := p.loops
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent.Add(-1)
	if l.sockets[p.pair]--; l.sockets[p.pair] == 0 {
		delete(l.sockets, p.pair)
	}
	if p.group == nil {
		return
	}
	if p.group.count--; p.group.count > 0 {
		return
	}
	left := slices.DeleteFunc(l.groups[p.print], func(g *sentGroup) bool { return g == p.group })
	if len(left) == 0 {
		delete(l.groups, p.print)
		return
	}
	l.groups[p.print] = left
}

// isNear reports whether what is sent to remote may come back here: loopback, this host, the
// tailnet, private networks. local is the address from which it is sent.
func isNear(local, remote netip.Addr) bool {
	return remote == local || remote.IsLoopback() || remote.IsPrivate() || remote.IsLinkLocalUnicast() || access.IsTailscale(remote)
}
