package tailnet

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
)

// Network is the tailnet as this node sees it. A node sees only those which the
// tailnet's policy lets it talk to, or lets talk to it.
type Network struct {
	Self     Node
	Peers    []Node // sorted by name
	MagicDNS bool   // the tailnet resolves its nodes' names
}

// Node is one node of the tailnet.
type Node struct {
	Name       string   // MagicDNS name without the final dot
	HostName   string   // what the host calls itself
	ID         string   // stable node ID
	User       string   // login name of its owner; empty for a tagged node
	Tags       []string // with "tag:"
	Addresses  []netip.Addr
	Online     bool // connected to the coordination server
	KeyExpired bool
	Attributes []string // node attributes by name, sorted: packet filter rules may ask for one
}

// Network asks who is there, within AttemptTimeout.
func (c *Client) Network(ctx context.Context) (Network, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	facts, err := c.local.Status(ctx)
	if err != nil {
		return Network{}, fmt.Errorf("asking tailscaled for its peers: %w", c.explain(err))
	}
	return networkFrom(facts), nil
}

func networkFrom(facts *ipnstate.Status) Network {
	var n Network
	if facts == nil {
		return n
	}
	if facts.CurrentTailnet != nil {
		n.MagicDNS = facts.CurrentTailnet.MagicDNSEnabled
	}
	if facts.Self != nil {
		n.Self = nodeFrom(facts.Self, facts.User)
	}
	for _, peer := range facts.Peer {
		if peer != nil {
			n.Peers = append(n.Peers, nodeFrom(peer, facts.User))
		}
	}
	slices.SortFunc(n.Peers, func(a, b Node) int { return strings.Compare(a.Name+" "+a.ID, b.Name+" "+b.ID) })
	return n
}

func nodeFrom(p *ipnstate.PeerStatus, users map[tailcfg.UserID]tailcfg.UserProfile) Node {
	n := Node{
		Name: strings.TrimSuffix(p.DNSName, "."), HostName: p.HostName, ID: string(p.ID),
		Addresses: slices.Clone(p.TailscaleIPs), Online: p.Online, KeyExpired: p.Expired,
	}
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

// Find gives the peers that name may mean: a MagicDNS name, its first label, a stable
// node ID, an address, or, if none of these fits, what a host calls itself.
func (n Network) Find(name string) []Node {
	name = strings.TrimSuffix(name, ".")
	if found := n.peers(func(p Node) bool { return p.isCalled(name) }); len(found) > 0 {
		return found
	}
	return n.peers(func(p Node) bool { return strings.EqualFold(p.HostName, name) })
}

func (n Network) peers(which func(Node) bool) []Node {
	return slices.DeleteFunc(slices.Clone(n.Peers), func(p Node) bool { return !which(p) })
}

func (n Node) isCalled(name string) bool {
	label, _, _ := strings.Cut(n.Name, ".")
	addr, err := netip.ParseAddr(name)
	return strings.EqualFold(n.Name, name) || strings.EqualFold(label, name) || n.ID == name ||
		err == nil && slices.Contains(n.Addresses, addr.Unmap())
}
