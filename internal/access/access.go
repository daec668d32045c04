package access

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/config"
)

// Other is where a connection comes from that is none of [config.Local], [config.Tailnet] and
// [config.Proxied].
const Other config.SourceKind = "other"

// Identity is who sent a request, as tailscaled tells it.
type Identity struct {
	Source       config.SourceKind
	Node         string // MagicDNS name without the final dot
	ShortNode    string // its first label; empty for a node of another tailnet, which may have any
	NodeID       string // stable id
	User         string // login name; empty for a tagged node
	Tags         []string
	Person       string // who the request is for, if the sender is a gateway whose word counts
	Capabilities []string
	Share        Share        // of the slots, as the tailnet's policy says
	ShareFault   string       // why something that it says is ignored
	Addresses    []netip.Addr // on the tailnet
	Doubt        string       // why Person is empty though the header of one is there; names nobody
	Funnel       bool         // tailscaled may have forwarded it from the open internet
}

// ShareCapability is the application capability whose values are shares.
const ShareCapability = "oauth-proxyd.internal/cap/share"

// Share is what a person gets of the slots for requests. Zero: as everybody.
type Share struct {
	Weight      int // slots that they get when it is their turn
	MaxRequests int // in flight, instead of max_connections_per_person
}

// Turn is how many slots a turn is.
func (s Share) Turn() int { return max(s.Weight, 1) }

// Tailnet is the host's tailscaled, as far as access depends on it. Its methods may be called from
// several goroutines at once, and return soon after ctx ends.
type Tailnet interface {
	// Required reports whether the configuration wants a tailnet. Without one, nobody is asked
	// about anything.
	Required() bool
	// Running reports whether the backend is in that state, as last heard.
	Running() bool
	// Look says what is so now.
	Look(ctx context.Context) (Tailscaled, error)
	// WhoIs asks who is behind an address of the tailnet. found is false if tailscaled knows for
	// certain that nobody is.
	WhoIs(ctx context.Context, addr netip.AddrPort) (id Identity, found bool, err error)
	// ForwardsTo reports whether tailscaled forwards TCP connections from the tailnet or the
	// internet to a port of this host.
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

// As is the identity with every name turned by shown, if that is not nil. It is for the log and the
// flight recorder; who the person is goes nowhere else.
func (id Identity) As(shown func(string) string) Identity {
	turned := Identity{Source: id.Source, Node: id.Node, User: id.User, Tags: id.Tags, Person: id.Person, Doubt: id.Doubt}
	if shown == nil {
		return turned
	}
	for _, name := range []*string{&turned.Node, &turned.User, &turned.Person} {
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

// Key tells persons apart: the person that a gateway names, else the user, else the node or its
// tags, else the address, of which an IPv6 network counts as one. A user of the tailnet and a
// person with the same name are one. Case does not count, as in access lists.
func (id Identity) Key(addr netip.Addr) string {
	switch {
	case id.Person != "":
		return "user " + strings.ToLower(id.Person)
	case id.User != "":
		return "user " + strings.ToLower(id.User)
	case id.Node != "":
		return "node " + id.Node
	case len(id.Tags) > 0:
		return "tags " + strings.Join(id.Tags, ",")
	default:
		return "address " + Network(addr).String()
	}
}

// Network is what one sender has addresses of: its address, or 64 bits of one of IPv6 (RFC 4291
// §2.5.4), except on this host and in Tailscale's range, where each node has one address.
func Network(addr netip.Addr) netip.Addr {
	if addr.Is6() && !config.IsTailscale(addr) && !addr.IsLoopback() {
		prefix, _ := addr.Prefix(64) // valid for every IPv6 address
		return prefix.Addr()
	}
	return addr
}

// Control classifies connections and judges requests.
type Control struct {
	tailnet Tailnet
	// OwnerOf gives the user of the process on this host whose socket is the other end of a
	// connection: [SocketOwner], unless a test replaces it.
	OwnerOf func(local, remote netip.AddrPort) (uid uint32, found bool, err error)
}

// New makes a Control. t is the host's tailscaled; nil: there is none, and no tailnet is wanted.
func New(t Tailnet) *Control {
	return &Control{tailnet: cmp.Or[Tailnet](t, noTailnet{}), OwnerOf: SocketOwner}
}

// Refusal is why a request is not let in.
type Refusal struct {
	Message  string // for the client; names nobody and no list
	Cause    error  // for the log; may be nil
	Unproven bool   // who sent it is not known now, and may be soon
}

// Error implements error.
func (r *Refusal) Error() string { return r.Message }

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Cause }

// errNotAllowed is for the log, where fields name the sender as log.identity allows. The client is
// told neither names nor lists.
var errNotAllowed = errors.New("no entry of the access list is for this sender")

// Judge reports who sent a request with this header over c, and as a [Refusal] why that is not
// enough for allow. gateways are those who may say for whom they send it, once they are admitted.
func (a *Control) Judge(ctx context.Context, h http.Header, c *Conn, allow []config.Source, gateways config.Identity) (Identity, error) {
	peer, err := a.identify(ctx, h, c, gateways.Header)
	if peer.Funnel || len(h["Tailscale-Funnel-Request"]) > 0 {
		return peer, &Refusal{Message: "requests through Tailscale Funnel come from the open internet and are always refused"}
	}
	if err != nil {
		return peer, err
	}
	if Admits(allow, peer, c.Addr()) {
		peer.Person, peer.Doubt = person(h, peer, c.Addr(), gateways)
		return peer, nil
	}
	return peer, &Refusal{
		Message: "you are not admitted on this host; logging in again does not help, its administrator can admit you and finds the reason in the log",
		Cause:   errNotAllowed,
	}
}

// Admits reports whether who connects from addr may send requests.
func Admits(allow []config.Source, id Identity, addr netip.Addr) bool {
	return slices.ContainsFunc(allow, func(s config.Source) bool { return covers(s, id, addr) })
}

// covers reports whether an entry of an access list is for this peer.
func covers(entry config.Source, id Identity, addr netip.Addr) bool {
	switch entry.Kind {
	case config.Local, config.Tailnet, config.Proxied:
		return entry.Kind == id.Source
	case config.CIDR:
		return id.isAt(addr) && entry.Prefix.Contains(addr) || slices.ContainsFunc(id.Addresses, entry.Prefix.Contains)
	}
	if id.Source != config.Tailnet {
		return false
	}
	switch entry.Kind {
	case config.User:
		return strings.EqualFold(entry.Value, id.User)
	case config.Tag:
		return slices.Contains(id.Tags, entry.Value)
	case config.Capability:
		return slices.Contains(id.Capabilities, entry.Value)
	default: // a node
		return entry.Value == id.NodeID || strings.EqualFold(entry.Value, id.Node) || strings.EqualFold(entry.Value, id.ShortNode)
	}
}

// isAt reports whether addr, where the connection came from, is the address of the sender: not that
// of a proxy, nor the loopback address from which tailscaled delivers a peer's connection without a
// network device.
func (id Identity) isAt(addr netip.Addr) bool {
	return id.Source != config.Proxied && (id.Source != config.Tailnet || !addr.IsLoopback())
}
