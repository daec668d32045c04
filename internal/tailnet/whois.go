package tailnet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/client/tailscale/apitype"
)

// ErrPeerNotFound means that tailscaled says for certain that it knows no peer behind an address.
var ErrPeerNotFound = errors.New("no such peer on the tailnet")

// Peer is the node behind a connection.
type Peer struct {
	Node         string       // MagicDNS name without the final dot
	NodeID       string       // stable node ID, which no other node ever gets
	User         string       // login name of the owner; empty for a tagged node
	Tags         []string     // with "tag:"; none for a user's node
	Capabilities []string     // names of https://tailscale.com/kb/1537/grants-app-capabilities, sorted
	Addresses    []netip.Addr // on the tailnet
}

// WhoIs names the peer that connected from addr, within AttemptTimeout. ErrPeerNotFound is a definite
// response; any other error means that there is none, and repeats nothing of addr.
//
// An address that tailscaled does not know costs it a fifth of a second under its main lock: ask only
// for those in Tailscale's ranges, and for loopback only when Status.Userspace.
//
// tailscaled names a loopback connection only after having opened it
// (https://github.com/tailscale/tailscale/issues/1616), but before it sends a byte on it, and spends
// that fifth of a second on waiting for the name. A "not found" that comes faster has not waited, and is
// asked for once more.
func (c *Client) WhoIs(ctx context.Context, addr netip.AddrPort) (Peer, error) {
	const nameWait = 100 * time.Millisecond // less than tailscaled's
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	began := time.Now()
	found, err := c.askWhoIs(ctx, addr)
	if errors.Is(err, local.ErrPeerNotFound) && addr.Addr().IsLoopback() && time.Since(began) < nameWait {
		found, err = c.askWhoIs(ctx, addr)
	}
	switch {
	case errors.Is(err, local.ErrPeerNotFound):
		return Peer{}, ErrPeerNotFound
	case err != nil:
		return Peer{}, fmt.Errorf("asking tailscaled for a peer: %w", c.explain(err))
	case found == nil || found.Node == nil || found.UserProfile == nil:
		return Peer{}, errors.New("asking tailscaled for a peer: the response names no node")
	}
	return peerFrom(found), nil
}

// askWhoIs asks over the socket, and by the command where that cannot be reached.
func (c *Client) askWhoIs(ctx context.Context, addr netip.AddrPort) (*apitype.WhoIsResponse, error) {
	found, err := c.local.WhoIsProto(ctx, "tcp", addr.String())
	if dialErr := dialFailure(err); dialErr != nil {
		if found, err = c.whoIsByCommand(ctx, addr); isMissing(err) {
			err = dialErr
		}
	}
	return found, err
}

func peerFrom(found *apitype.WhoIsResponse) Peer {
	node := found.Node
	peer := Peer{
		Node:   strings.TrimSuffix(node.Name, "."),
		NodeID: string(node.StableID),
		Tags:   node.Tags,
	}
	for _, prefix := range node.Addresses {
		peer.Addresses = append(peer.Addresses, prefix.Addr())
	}
	if !node.IsTagged() { // the profile of a tagged node is a placeholder
		peer.User = found.UserProfile.LoginName
	}
	for _, name := range slices.Sorted(maps.Keys(found.CapMap)) {
		peer.Capabilities = append(peer.Capabilities, string(name))
	}
	return peer
}
