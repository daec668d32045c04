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

	"oauth-proxyd/internal/access"
)

// WhoIs returns what tailscaled knows about the peer that connected from addr, within
// AttemptTimeout. found is false if tailscaled is certain that there is no such peer. An error does
// not quote addr.
//
// An unknown address costs tailscaled a fifth of a second under its main lock. Ask only for
// addresses in Tailscale's ranges, and for loopback only if Status.Userspace.
//
// tailscaled registers the peer of a loopback connection only after it has opened the connection
// (https://github.com/tailscale/tailscale/issues/1616), but before it sends a byte. It spends that
// fifth of a second waiting for the registration. A "not found" that comes sooner did not wait, so
// WhoIs asks once more.
func (c *Client) WhoIs(ctx context.Context, addr netip.AddrPort) (peer access.Identity, found bool, err error) {
	const nameWait = 100 * time.Millisecond // less than tailscaled's
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	began := time.Now()
	response, err := c.askWhoIs(ctx, addr)
	if errors.Is(err, local.ErrPeerNotFound) && addr.Addr().IsLoopback() && time.Since(began) < nameWait {
		response, err = c.askWhoIs(ctx, addr)
	}
	switch {
	case errors.Is(err, local.ErrPeerNotFound):
		return access.Identity{}, false, nil
	case err != nil:
		return access.Identity{}, false, fmt.Errorf("asking tailscaled for a peer: %w", c.explain(err))
	case response == nil || response.Node == nil || response.UserProfile == nil:
		return access.Identity{}, false, errors.New("asking tailscaled for a peer: the response has no node")
	}
	return identityFrom(response), true, nil
}

func (c *Client) askWhoIs(ctx context.Context, addr netip.AddrPort) (*apitype.WhoIsResponse, error) {
	response, err := c.local.WhoIsProto(ctx, "tcp", addr.String())
	if dialErr := dialFailure(err); dialErr != nil {
		if response, err = c.whoIsByCommand(ctx, addr); isMissing(err) {
			err = dialErr
		}
	}
	return response, err
}

func identityFrom(response *apitype.WhoIsResponse) access.Identity {
	node := response.Node
	id := access.Identity{
		Node:   strings.TrimSuffix(node.Name, "."),
		NodeID: string(node.StableID),
		Tags:   node.Tags,
	}
	for _, prefix := range node.Addresses {
		id.Addresses = append(id.Addresses, prefix.Addr())
	}
	if !node.IsTagged() { // the profile of a tagged node is a placeholder
		id.User = response.UserProfile.LoginName
	}
	for _, name := range slices.Sorted(maps.Keys(response.CapMap)) {
		id.Capabilities = append(id.Capabilities, string(name))
	}
	id.Share, id.ShareFault = access.GreatestShare(response.CapMap[access.ShareCapability])
	return id
}
