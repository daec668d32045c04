package access

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/kernel"
)

// Other is the source of all connections except those of [config.Local], [config.Tailnet] and
// [config.Proxied].
const Other config.SourceKind = "other"

// Identity says who sent a request, and for whom.
type Identity struct {
	Source       config.SourceKind
	Node         string // MagicDNS name without the final dot
	ShortNode    string // its first label; empty for a node of another tailnet, whose label may not be unique
	NodeID       string // stable id
	User         string // login name; empty for a tagged node
	Tags         []string
	Person       string // the person that a trusted gateway names
	Capabilities []string
	Share        Share        // of the slots, from the tailnet's policy
	ShareFault   string       // why a share in the policy is ignored
	Addresses    []netip.Addr // on the tailnet
	Doubt        string       // why Person is empty although the header of identity is present; never quotes it
	Funnel       bool         // tailscaled may have forwarded it from the open internet
}

// Redacted returns the identity for the log and the flight recorder, with each name replaced by the
// result of shown. A nil shown keeps the names. Capabilities, shares and addresses are left out.
func (id Identity) Redacted(shown func(string) string) Identity {
	named := Identity{Source: id.Source, Node: id.Node, User: id.User, Tags: id.Tags, Person: id.Person, Doubt: id.Doubt}
	if shown == nil {
		return named
	}
	for _, name := range []*string{&named.Node, &named.User, &named.Person} {
		if *name != "" {
			*name = shown(*name)
		}
	}
	if len(id.Tags) > 0 {
		named.Tags = nil
		if text := shown(strings.Join(id.Tags, ",")); text != "" {
			named.Tags = []string{text}
		}
	}
	return named
}

// Key returns a text that tells persons apart: the person that a gateway names, else the user, else
// the node or its tags, else the [Network] of the address. A user of the tailnet and a person with
// the same name are one. Case does not matter, as in access lists.
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

// Network returns the key for limits per sender: the /64 of a public IPv6 address, all of which one
// sender may have (RFC 4291 §2.5.4), and otherwise addr.
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
	// OwnerOf returns the user of the process on this host whose socket is the other end of a
	// connection: [kernel.SocketOwner], unless a test replaces it.
	OwnerOf func(local, remote netip.AddrPort) (uid uint32, found bool, err error)
}

// New returns a Control. t is the host's tailscaled, or nil if no tailnet is required.
func New(t Tailnet) *Control {
	return &Control{tailnet: cmp.Or[Tailnet](t, noTailnet{}), OwnerOf: kernel.SocketOwner}
}

// Refusal says why a request is not admitted.
type Refusal struct {
	Message  string // for the client; contains no names and no access list
	Cause    error  // for the log; may be nil
	Unproven bool   // the sender could not be identified; a retry may succeed
}

func (r *Refusal) Error() string { return r.Message }

func (r *Refusal) Unwrap() error { return r.Cause }

// errNotAllowed is the cause for the log. The fields of the line name the sender as far as
// log.identity allows.
var errNotAllowed = errors.New("no entry of the access list matches this sender")

// Judge reports who sent a request with header h over c. Its error is a [*Refusal] if the sender
// cannot be identified or allow does not admit them, and the cause of ctx after its end. gateways
// says which admitted senders may name a person.
func (a *Control) Judge(ctx context.Context, h http.Header, c *Conn, allow []config.Source, gateways config.Gateways) (Identity, error) {
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
		Message: "you may not use this proxy, and logging in again does not help; ask its administrator: the log has the reason",
		Cause:   errNotAllowed,
	}
}

// Admits reports whether allow has an entry for the sender id, who connects from addr.
func Admits(allow []config.Source, id Identity, addr netip.Addr) bool {
	return slices.ContainsFunc(allow, func(s config.Source) bool { return covers(s, id, addr) })
}

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
		return slices.Contains(id.Capabilities, strings.TrimPrefix(entry.Value, "cap:"))
	default: // a node
		name := strings.TrimPrefix(entry.Value, "node:")
		return name == id.NodeID || strings.EqualFold(name, id.Node) || strings.EqualFold(name, id.ShortNode)
	}
}

// isAt reports whether addr, the address of the connection, is the sender's own. It is not if a
// proxy forwarded the request, or if tailscaled delivered a peer's connection from loopback.
func (id Identity) isAt(addr netip.Addr) bool {
	return id.Source != config.Proxied && (id.Source != config.Tailnet || !addr.IsLoopback())
}
