package tailnet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/client/tailscale/apitype"
)

// ErrPeerNotFound means that tailscaled says for certain that it knows no
// peer behind an address.
var ErrPeerNotFound = errors.New("no such peer on the tailnet")

// nameWait is less than tailscaled waits for a connection to get its name.
const nameWait = 100 * time.Millisecond

// Peer is the node behind a connection.
type Peer struct {
	// Node is its MagicDNS name without the final dot.
	Node string

	// NodeID is its stable node ID, which no other node ever gets.
	NodeID string

	// User is the login name of its owner, empty for a tagged node.
	User string

	// Tags are the node's tags ("tag:…"), none for a user's node.
	Tags []string

	// Capabilities are the names of the app capabilities that the tailnet's
	// policy grants it towards this node, sorted.
	// See https://tailscale.com/kb/1537/grants-app-capabilities.
	Capabilities []string

	// Addresses are the node's own on the tailnet.
	Addresses []netip.Addr
}

// WhoIs names the peer that connected from addr, within AttemptTimeout.
// ErrPeerNotFound is a definite answer; any other error means that there is
// none, and repeats nothing of addr.
//
// An address tailscaled does not know costs it a fifth of a second under its
// main lock, and twice that if it is not told the protocol: ask only for those
// in Tailscale's ranges, and for loopback only when Status.Userspace.
//
// tailscaled names a loopback connection only after having opened it
// (https://github.com/tailscale/tailscale/issues/1616), but before it sends a
// byte on it, and spends that fifth of a second on waiting for the name. A "not
// found" that comes faster has not waited, and is asked for once more.
func (c *Client) WhoIs(ctx context.Context, addr netip.AddrPort) (Peer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	began := time.Now()
	answer, err := c.askWhoIs(ctx, addr)
	if errors.Is(err, local.ErrPeerNotFound) && addr.Addr().IsLoopback() && time.Since(began) < nameWait {
		answer, err = c.askWhoIs(ctx, addr)
	}
	switch {
	case errors.Is(err, local.ErrPeerNotFound):
		return Peer{}, ErrPeerNotFound
	case err != nil:
		return Peer{}, fmt.Errorf("asking tailscaled for a peer: %w", c.explain(err))
	case answer == nil || answer.Node == nil || answer.UserProfile == nil:
		return Peer{}, errors.New("asking tailscaled for a peer: the answer names no node")
	}
	return peerFrom(answer), nil
}

// askWhoIs asks over the socket, and by the command where that cannot be reached.
func (c *Client) askWhoIs(ctx context.Context, addr netip.AddrPort) (*apitype.WhoIsResponse, error) {
	answer, err := c.local.WhoIsProto(ctx, "tcp", addr.String())
	if dialErr := dialFailure(err); dialErr != nil {
		answer, err = c.whoIsByCommand(ctx, addr)
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, exec.ErrDot) {
			return nil, dialErr
		}
	}
	return answer, err
}

func peerFrom(answer *apitype.WhoIsResponse) Peer {
	node := answer.Node
	peer := Peer{
		Node:   strings.TrimSuffix(node.Name, "."),
		NodeID: string(node.StableID),
		Tags:   slices.Clone(node.Tags),
	}
	for _, prefix := range node.Addresses {
		peer.Addresses = append(peer.Addresses, prefix.Addr())
	}
	if !node.IsTagged() { // the profile of a tagged node is a placeholder
		peer.User = answer.UserProfile.LoginName
	}
	for _, name := range slices.Sorted(maps.Keys(answer.CapMap)) {
		peer.Capabilities = append(peer.Capabilities, string(name))
	}
	return peer
}
