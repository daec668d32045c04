package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Source is where a connection came from, before anybody is named.
type Source string

// The sources.
const (
	SourceLocal   Source = "local"   // this host: loopback, a Unix socket, its own addresses
	SourceTailnet Source = "tailnet" // a peer that tailscaled knows
	SourceProxied Source = "proxied" // another proxy on this host, for somebody else
	SourceOther   Source = "other"
)

// Grant is one entry of an access list. Exactly one of its fields is set.
type Grant struct {
	Source     Source       // everybody from there: local, tailnet or proxied
	User       string       // login name
	Tag        string       // with "tag:"
	Node       string       // stable id, or MagicDNS name in full
	Prefix     netip.Prefix // of the address of the connection
	Capability string       // application capability that the tailnet's policy grants
}

// Access says who may send requests. Its entries are alternatives.
type Access struct{ Allow []Grant }

// Identity is who sent a request, as tailscaled tells it.
type Identity struct {
	Source       Source
	Node         string // MagicDNS name without the final dot
	NodeID       string // stable id
	User         string // login name; empty for a tagged node
	Tags         []string
	Capabilities []string
}

// WhoIs asks who is behind an address of the tailnet. found is false if
// tailscaled knows for certain that nobody is.
type WhoIs func(ctx context.Context, addr netip.AddrPort) (id Identity, found bool, err error)

const (
	whoIsTimeout   = 2 * time.Second
	denialInterval = time.Minute // between two log lines about one source
	maxDenialNotes = 4096
)

// as is the identity with every name turned by shown, if that is not nil. It is for
// the log and the flight recorder; who the person is goes nowhere else.
func (id Identity) as(shown func(string) string) Identity {
	turned := Identity{Source: id.Source, Node: id.Node, User: id.User, Tags: id.Tags}
	if shown == nil {
		return turned
	}
	for _, name := range []*string{&turned.Node, &turned.User} {
		if *name != "" {
			*name = shown(*name)
		}
	}
	if len(id.Tags) > 0 {
		turned.Tags = nil
		if text := shown(strings.Join(id.Tags, ",")); text != "" {
			turned.Tags = []string{text}
		}
	}
	return turned
}

// appendAttrs adds the fields of the log line.
func (id Identity) appendAttrs(attrs []slog.Attr) []slog.Attr {
	attrs = append(attrs, slog.String("source", string(id.Source)))
	for _, name := range [...]struct{ key, value string }{
		{"node", id.Node}, {"user", id.User}, {"tags", strings.Join(id.Tags, ",")},
	} {
		if name.value != "" {
			attrs = append(attrs, slog.String(name.key, name.value))
		}
	}
	return attrs
}

// accessControl classifies connections and judges requests.
type accessControl struct {
	whoIs     WhoIs
	userspace func() bool

	mu      sync.Mutex
	denials map[netip.Addr]time.Time // when the source was last logged
}

func newAccessControl(c Config) *accessControl {
	a := &accessControl{whoIs: c.WhoIs, userspace: c.Userspace, denials: make(map[netip.Addr]time.Time)}
	if a.whoIs == nil {
		a.whoIs = func(context.Context, netip.AddrPort) (Identity, bool, error) { return Identity{}, false, nil }
	}
	if a.userspace == nil {
		a.userspace = func() bool { return false }
	}
	return a
}

// Refuse answers r with what [Proxy.Judge] said against it.
func (p *Proxy) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = fail(CodeInternal, err, "internal error; the journal has the details")
	}
	f.respond(w, p.host, requestID(r.Header))
}

// Refusal is an error for [Proxy.Refuse] that the client made.
func Refusal(message string) error { return fail(CodeInvalidRequest, nil, "%s", message) }

// Judge reports who sent r, and as an error why that is not enough for allow. The
// request must have come through a [Server].
func (p *Proxy) Judge(r *http.Request, allow Access) (Identity, error) {
	return p.access.judge(r.Context(), r, connOf(r), allow)
}

func (a *accessControl) judge(ctx context.Context, r *http.Request, c *clientConn, allow Access) (Identity, error) {
	peer, err := a.identify(ctx, r, c)
	if len(r.Header["Tailscale-Funnel-Request"]) > 0 {
		return peer, fail(CodeAccessDenied, nil, "requests through Tailscale Funnel come from the open internet and are always refused")
	}
	if err != nil {
		return peer, err
	}
	addr := sourceAddr(r)
	if allow.Admits(peer, addr) {
		return peer, nil
	}
	return peer, fail(CodeAccessDenied, nil,
		"%s is not in access.allow on this host; logging in again does not help, its administrator can add it", peer.describe(addr))
}

// Admits reports whether who connects from addr may send requests.
func (a Access) Admits(id Identity, addr netip.Addr) bool {
	return slices.ContainsFunc(a.Allow, func(g Grant) bool { return g.covers(id, addr) })
}

// covers reports whether the grant is for this peer.
func (g Grant) covers(id Identity, addr netip.Addr) bool {
	switch {
	case g.Source != "":
		return g.Source == id.Source
	case g.Prefix.IsValid():
		return id.isAt(addr) && g.Prefix.Contains(addr)
	case id.Source != SourceTailnet:
		return false
	case g.User != "":
		return strings.EqualFold(g.User, id.User)
	case g.Tag != "":
		return slices.Contains(id.Tags, g.Tag)
	case g.Capability != "":
		return slices.Contains(id.Capabilities, g.Capability)
	default:

		return g.Node != "" && (g.Node == id.NodeID || strings.EqualFold(g.Node, id.Node))
	}
}

// isAt reports whether addr, where the connection came from, is the address of who
// asks: not that of a proxy, nor the loopback address from which tailscaled delivers
// a peer's connection without a network device.
func (id Identity) isAt(addr netip.Addr) bool {
	return id.Source != SourceProxied && (id.Source != SourceTailnet || !addr.IsLoopback())
}

// describe names the peer for the sentence that refuses it.
func (id Identity) describe(addr netip.Addr) string {
	switch {
	case id.Source == SourceProxied:
		return "a proxy on this host (source proxied)"
	case id.Source != SourceTailnet:
		return fmt.Sprintf("address %v (source %s)", addr, id.Source)
	case len(id.Tags) > 0:
		return fmt.Sprintf("node %s (%s)", id.Node, strings.Join(id.Tags, ", "))
	default:
		return fmt.Sprintf("node %s (user %s)", id.Node, id.User)
	}
}

// identify finds the source of a request. Only addresses that can be a peer's are
// asked about: for others tailscaled searches long, holding its lock.
func (a *accessControl) identify(ctx context.Context, r *http.Request, c *clientConn) (Identity, error) {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return Identity{Source: onThisHost(r.Header)}, nil // a Unix socket
	}
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	local := localAddr(c)
	switch {
	case remote.Addr().IsLoopback():
		if a.userspace() { // then tailscaled delivers its peers from there
			return a.ask(ctx, c, remote, onThisHost(r.Header))
		}
		return Identity{Source: onThisHost(r.Header)}, nil
	case isTailscale(remote.Addr()) && isTailscale(local) && remote.Addr() != local:
		return a.ask(ctx, c, remote, SourceOther)
	case remote.Addr() == local || c.fromOwnAddress(remote.Addr()):
		return Identity{Source: onThisHost(r.Header)}, nil
	default:
		return Identity{Source: SourceOther}, nil
	}
}

// onThisHost tells a program on this host from a proxy on it that speaks for
// somebody else, such as tailscale serve.
func onThisHost(h http.Header) Source {
	for name := range h {
		if name == "Forwarded" || name == "Via" || strings.HasPrefix(name, "Tailscale-") || strings.HasPrefix(name, "X-Forwarded-") {
			return SourceProxied
		}
	}
	return SourceLocal
}

// isTailscale: the ranges of https://tailscale.com/kb/1015/100.x-addresses and
// https://tailscale.com/kb/1033/ip-and-dns-addresses.
func isTailscale(addr netip.Addr) bool {
	v4 := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10)
	v6 := netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0}), 48)
	return v4.Contains(addr) || v6.Contains(addr)
}

func localAddr(c *clientConn) netip.Addr {
	if c.Conn == nil {
		return netip.Addr{}
	}
	if tcp, ok := c.LocalAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// ask has tailscaled name the peer. An error is not a refusal: the peer is answered
// 503 and may come again.
func (a *accessControl) ask(ctx context.Context, c *clientConn, remote netip.AddrPort, unknown Source) (Identity, error) {
	id, found, err := c.identity.get(ctx, func() (Identity, bool, error) {
		ctx, cancel := context.WithTimeout(ctx, whoIsTimeout)
		defer cancel()
		return a.whoIs(ctx, remote)
	})
	switch {
	case ctx.Err() != nil:
		return Identity{Source: SourceOther}, context.Cause(ctx) // nobody is left to be refused
	case err != nil:
		return Identity{Source: SourceOther}, fail(CodeTailnetUnavailable, err, "tailscaled on this host could not say who is asking")
	case !found:
		return Identity{Source: unknown}, nil
	}
	id.Source = SourceTailnet
	return id, nil
}

// firstDenial reports whether a denial of this source is to be logged: once a
// minute.
func (a *accessControl) firstDenial(source netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if now.Sub(a.denials[source]) < denialInterval {
		return false
	}
	if len(a.denials) >= maxDenialNotes {
		clear(a.denials)
	}
	a.denials[source] = now
	return true
}
