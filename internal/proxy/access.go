package proxy

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Source is where a connection came from, before anybody is named.
type Source string

// The sources.
const (
	SourceLocal   Source = "local"   // a program on this host, by proof
	SourceTailnet Source = "tailnet" // a peer that tailscaled knows
	SourceProxied Source = "proxied" // another proxy on this host, for somebody else
	SourceOther   Source = "other"
)

// Grant is one entry of an access list. Exactly one of its fields is set.
type Grant struct {
	Source     Source       // everybody from there: local, tailnet or proxied
	User       string       // login name
	Tag        string       // with "tag:"
	Node       string       // stable id, or MagicDNS name: in full, or as this tailnet shortens it
	Prefix     netip.Prefix // of the address of the connection
	Capability string       // application capability that the tailnet's policy grants
}

// Access says who may send requests.
type Access struct {
	// Allow are alternatives.
	Allow []Grant
	// Browsers are the origins of web pages that may, as a browser spells them; "*": any.
	Browsers []string
}

// Identity is who sent a request, as tailscaled tells it.
type Identity struct {
	Source       Source
	Node         string // MagicDNS name without the final dot
	ShortNode    string // its first label; empty for a node of another tailnet, which may have any
	NodeID       string // stable id
	User         string // login name; empty for a tagged node
	Tags         []string
	Capabilities []string
	Addresses    []netip.Addr // on the tailnet
	Funnel       bool         // tailscaled may have forwarded it from the open internet
}

// Tailnet is the host's tailscaled, as far as access depends on it. Its methods may be
// called from several goroutines at once, and return soon after ctx ends.
type Tailnet interface {
	// Required reports whether the configuration wants a tailnet. Without one, nobody
	// is asked about anything.
	Required() bool
	// Running reports whether the backend is in that state, as last heard.
	Running() bool
	// Look says what is so now.
	Look(ctx context.Context) (Tailscaled, error)
	// WhoIs asks who is behind an address of the tailnet. found is false if tailscaled
	// knows for certain that nobody is.
	WhoIs(ctx context.Context, addr netip.AddrPort) (id Identity, found bool, err error)
	// ForwardsTo reports whether tailscaled forwards TCP connections from the tailnet or
	// the internet to a port of this host.
	ForwardsTo(ctx context.Context, port uint16) (forwards, funnel bool, err error)
}

// Tailscaled is the process on this host and what it has said of itself.
type Tailscaled struct {
	Absent    bool     // none runs; the rest is zero
	PID       int      // 0: not known
	UIDs      []uint32 // the users that it may run as
	Known     bool     // it has said what follows since it started
	Userspace bool     // it delivers connections of peers from loopback
	Addresses []netip.Addr
}

const whoIsTimeout = 2 * time.Second

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

// key tells persons apart: the user, else the node or its tags, else the address, of which an
// IPv6 network counts as one.
func (id Identity) key(addr netip.Addr) string {
	switch {
	case id.User != "":
		return "user " + id.User
	case id.Node != "":
		return "node " + id.Node
	case len(id.Tags) > 0:
		return "tags " + strings.Join(id.Tags, ",")
	default:
		return "address " + network(addr).String()
	}
}

// network is what one sender has addresses of: its address, or 64 bits of one of IPv6, except
// in Tailscale's range, where each node has one address.
func network(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() && !isTailscale(addr) {
		bits = 64
	}
	return netip.PrefixFrom(addr, bits).Masked()
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
	tailnet Tailnet
	ownerOf func(local, remote netip.AddrPort) (uid uint32, found bool, err error) // socketOwner
}

func newAccessControl(c Config) *accessControl {
	return &accessControl{tailnet: cmp.Or[Tailnet](c.Tailnet, noTailnet{}), ownerOf: socketOwner}
}

// Refuse answers r with what [Proxy.Judge] said against it.
func (p *Proxy) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = fail(CodeInternal, err, "internal error; the journal has the details")
	}
	w.Header().Set("Connection", "close")
	f.respond(w, p.host, requestID(r.Header))
}

// Refusal is an error for [Proxy.Refuse] that the client made.
func Refusal(message string) error { return fail(CodeInvalidRequest, nil, "%s", message) }

// Judge reports who sent r, and as an error why that is not enough for allow. The
// request must have come through a [Server].
func (p *Proxy) Judge(r *http.Request, allow Access) (Identity, error) {
	return p.access.judge(r.Context(), r, connOf(r), allow)
}

// errNotAllowed is for the log, where fields name the sender as log.identity allows. The
// client is told neither names nor lists.
var errNotAllowed = errors.New("no entry of the access list is for this sender")

func (a *accessControl) judge(ctx context.Context, r *http.Request, c *clientConn, allow Access) (Identity, error) {
	peer, err := a.identify(ctx, r, c)
	if peer.Funnel || len(r.Header["Tailscale-Funnel-Request"]) > 0 {
		return peer, fail(CodeAccessDenied, nil, "requests through Tailscale Funnel come from the open internet and are always refused")
	}
	if err != nil {
		return peer, err
	}
	addr := sourceAddr(r)
	if allow.Admits(peer, addr) {
		c.admit()
		return peer, nil
	}
	return peer, fail(CodeAccessDenied, errNotAllowed,
		"you are not admitted on this host; logging in again does not help, its administrator can admit you and finds the reason in the log")
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
		return id.isAt(addr) && g.Prefix.Contains(addr) || slices.ContainsFunc(id.Addresses, g.Prefix.Contains)
	case id.Source != SourceTailnet:
		return false
	case g.User != "":
		return strings.EqualFold(g.User, id.User)
	case g.Tag != "":
		return slices.Contains(id.Tags, g.Tag)
	case g.Capability != "":
		return slices.Contains(id.Capabilities, g.Capability)
	default:
		return g.Node != "" && (g.Node == id.NodeID || strings.EqualFold(g.Node, id.Node) ||
			strings.EqualFold(g.Node, id.ShortNode))
	}
}

// isAt reports whether addr, where the connection came from, is the address of who
// asks: not that of a proxy, nor the loopback address from which tailscaled delivers
// a peer's connection without a network device.
func (id Identity) isAt(addr netip.Addr) bool {
	return id.Source != SourceProxied && (id.Source != SourceTailnet || !addr.IsLoopback())
}
