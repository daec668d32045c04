package tailnet

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
)

// Network is the tailnet as this node sees it. A node sees only the nodes that the tailnet's policy
// lets it connect to, or lets connect to it.
type Network struct {
	Self     Node
	Peers    []Node // sorted by name
	MagicDNS bool   // the tailnet resolves its nodes' names
}

// Node is one node of the tailnet, as the access rules see it, but without its capabilities.
type Node struct {
	access.Identity
	Online     bool // connected to the coordination server
	KeyExpired bool
	Attributes []string // names of node attributes, sorted: packet filter rules may require one
}

// Network asks for this node and its peers, within AttemptTimeout.
func (c *Client) Network(ctx context.Context) (Network, error) {
	facts, err := ask(ctx, c, "for its peers", c.local.Status)
	if err != nil {
		return Network{}, err
	}
	return networkFrom(facts), nil
}

// ask calls call within AttemptTimeout. what completes the text of its error.
func ask[T any](ctx context.Context, c *Client, what string, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	response, err := call(ctx)
	if local.IsAccessDeniedError(err) {
		err = fs.ErrPermission
	} else if err != nil {
		err = c.explain(err)
	}
	if err != nil {
		return response, fmt.Errorf("asking tailscaled %s: %w", what, err)
	}
	return response, nil
}

func networkFrom(facts *ipnstate.Status) Network {
	var n Network
	var suffix string
	if facts.CurrentTailnet != nil {
		n.MagicDNS, suffix = facts.CurrentTailnet.MagicDNSEnabled, facts.CurrentTailnet.MagicDNSSuffix
	}
	if facts.Self != nil {
		n.Self = nodeFrom(facts.Self, facts.User, suffix)
	}
	for _, peer := range facts.Peer {
		n.Peers = append(n.Peers, nodeFrom(peer, facts.User, suffix))
	}
	slices.SortFunc(n.Peers, func(a, b Node) int { return strings.Compare(a.Node+" "+a.NodeID, b.Node+" "+b.NodeID) })
	return n
}

func nodeFrom(p *ipnstate.PeerStatus, users map[tailcfg.UserID]tailcfg.UserProfile, suffix string) Node {
	n := Node{Online: p.Online, KeyExpired: p.Expired}
	n.Source, n.Node, n.NodeID = config.Tailnet, strings.TrimSuffix(p.DNSName, "."), string(p.ID)
	n.ShortNode, n.Addresses = Status{Suffix: suffix}.ShortName(n.Node), slices.Clone(p.TailscaleIPs)
	if p.Tags != nil {
		n.Tags = p.Tags.AsSlice()
	}
	if len(n.Tags) == 0 { // the owner of a tagged node is a placeholder
		n.User = users[p.UserID].LoginName
	}
	for _, name := range slices.Sorted(maps.Keys(p.CapMap)) {
		n.Attributes = append(n.Attributes, string(name))
	}
	return n
}

// Find returns the peers that name may mean: a MagicDNS name, its first label, a stable node ID or
// an address.
func (n Network) Find(name string) []Node {
	name = strings.TrimSuffix(name, ".")
	return slices.DeleteFunc(slices.Clone(n.Peers), func(p Node) bool { return !p.isCalled(name) })
}

func (n Node) isCalled(name string) bool {
	label, _, _ := strings.Cut(n.Node, ".")
	addr, err := netip.ParseAddr(name)
	return strings.EqualFold(n.Node, name) || strings.EqualFold(label, name) || n.NodeID == name ||
		err == nil && slices.Contains(n.Addresses, addr.Unmap())
}

// Prefs are this node's settings in tailscaled that affect traffic to and from it.
type Prefs struct {
	ShieldsUp bool   // all connections from the tailnet are refused
	AcceptDNS bool   // this host's resolver resolves the tailnet's names
	ExitNode  string // stable ID or address of the exit node; empty: none
}

// Prefs asks for this node's settings, within AttemptTimeout.
func (c *Client) Prefs(ctx context.Context) (Prefs, error) {
	p, err := ask(ctx, c, "for its settings", c.local.GetPrefs)
	if err != nil {
		return Prefs{}, err
	}
	prefs := Prefs{ShieldsUp: p.ShieldsUp, AcceptDNS: p.CorpDNS, ExitNode: string(p.ExitNodeID)}
	if prefs.ExitNode == "" && p.ExitNodeIP.IsValid() {
		prefs.ExitNode = p.ExitNodeIP.String()
	}
	return prefs, nil
}

// Filter is the packet filter that this node has from the tailnet's policy: who may open which
// connection to it. Packets that no rule admits are dropped without a response.
type Filter struct{ rules []tailcfg.FilterRule }

// Filter asks for the packet filter, within AttemptTimeout. tailscaled shows it only to root and
// the operator whom root named: for others the error is fs.ErrPermission.
func (c *Client) Filter(ctx context.Context) (Filter, error) {
	rules, err := ask(ctx, c, "for its packet filter", c.local.DebugPacketFilterRules)
	return Filter{rules}, err
}

// AdmitsTCP reports whether node may open a TCP connection from its address src to dst, an address
// of this node.
func (f Filter) AdmitsTCP(node Node, src netip.Addr, dst netip.AddrPort) bool {
	const tcp = 6 // https://www.iana.org/assignments/protocol-numbers
	return slices.ContainsFunc(f.rules, func(r tailcfg.FilterRule) bool {
		forTCP := len(r.IPProto) == 0 || slices.Contains(r.IPProto, tcp) // none: TCP, UDP and ICMP
		return forTCP && hasSource(r, node, src) && slices.ContainsFunc(r.DstPorts, func(d tailcfg.NetPortRange) bool {
			return covers(d.IP, dst.Addr()) && d.Ports.First <= dst.Port() && dst.Port() <= d.Ports.Last
		})
	})
}

func hasSource(r tailcfg.FilterRule, node Node, src netip.Addr) bool {
	return slices.ContainsFunc(r.SrcIPs, func(s string) bool {
		if attribute, ok := strings.CutPrefix(s, "cap:"); ok {
			return slices.Contains(node.Attributes, attribute)
		}
		return covers(s, src)
	})
}

// covers reports whether set contains addr. set has one of the forms of tailcfg.FilterRule.SrcIPs:
// "*", an address, a prefix, or two addresses with a hyphen between, both included. An invalid set
// contains nothing.
func covers(set string, addr netip.Addr) bool {
	if set == "*" {
		return true
	}
	if prefix, err := netip.ParsePrefix(set); err == nil {
		return prefix.Contains(addr)
	}
	first, last, isRange := strings.Cut(set, "-")
	if !isRange {
		last = first
	}
	from, err := netip.ParseAddr(first)
	if err != nil {
		return false
	}
	to, err := netip.ParseAddr(last)
	return err == nil && from.BitLen() == addr.BitLen() && from.Compare(addr) <= 0 && addr.Compare(to) <= 0
}

// RefusalAttribute is the node attribute that makes tailscaled, from 1.104 on, record refused
// connections.
const RefusalAttribute = "debug-conn-reject"

// Refusal counts the connections that tailscaled refused one peer for one reason.
type Refusal struct {
	Reason   string         // acl, shields, host-firewall, …
	Src, Dst netip.AddrPort // of the last connection
	Count    int
	Last     time.Time
}

// Refusals lists the connections of peers to this node that tailscaled refused, within
// AttemptTimeout. recorded is false if the node does not have the attribute.
func (c *Client) Refusals(ctx context.Context) (all []Refusal, recorded bool, err error) {
	body, err := ask(ctx, c, "which connections it refused (from 1.104 on)", c.local.DebugRejects)
	if err != nil {
		return nil, false, err
	}
	var response struct { // connreject.DebugRejectsResponse
		Enabled  bool
		Incoming []Refusal
	}
	if err := json.Unmarshal(body, &response); err != nil {
		return nil, false, fmt.Errorf("reading which connections tailscaled refused: %w", &foreignError{err})
	}
	return response.Incoming, response.Enabled, nil
}
