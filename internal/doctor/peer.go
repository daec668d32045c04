package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/tailnet"
)

// checkPeer says whether one peer gets in: through the tailnet's packet filter to our
// port, and past access.allow.
func checkPeer(ctx context.Context, x *exam) []Finding {
	switch {
	case x.Peer == "":
		return nil
	case !x.onTailnet():
		return []Finding{unknown("whether %q gets in: tailscaled is not connected", x.Peer)}
	case x.network == nil:
		return []Finding{unknown("whether %q gets in: tailscaled does not show its peers", x.Peer)}
	}
	switch found := x.network.Find(x.Peer); {
	case len(found) == 0 && slices.Contains([]string{x.node.Name, x.node.HostName}, x.Peer):
		return []Finding{fail("%q is this node itself", x.Peer).mend("name the node that sends, such as the gateway")}
	case len(found) == 0:
		return []Finding{x.noPeer()}
	case len(found) > 1:
		return []Finding{fail("%d nodes are called %q", len(found), x.Peer).mend(peerNames(found)...)}
	default:
		return append(x.reachable(ctx, found[0]), x.admitted(ctx, found[0])...)
	}
}

func peerNames(nodes []tailnet.Node) []string {
	lines := make([]string, len(nodes))
	for i, n := range nodes {
		lines[i] = "oauth-proxyd doctor --peer " + n.Name
	}
	return lines
}

// noPeer: what a node does not see it has no rule for, in either direction.
func (x *exam) noPeer() Finding {
	return fail("no node %q among the %d that this one sees: it is misspelt, or the tailnet's policy lets neither reach the other", x.Peer, len(x.network.Peers)).
		mend("tailscale status   # the names", x.grantPort(`"`+x.Peer+`"`))
}

// reachable reads the packet filter, which tailscaled shows to root alone.
func (x *exam) reachable(ctx context.Context, peer tailnet.Node) []Finding {
	var findings []Finding
	switch {
	case peer.KeyExpired:
		findings = append(findings, fail("the node key of %s has expired", peer.Name).mend("on that node: tailscale up --force-reauth"))
	case !peer.Online:
		findings = append(findings, warn("%s is offline", peer.Name).mend("on that node: tailscale status"))
	}
	port := x.port()
	filter, err := x.client.Filter(ctx)
	switch {
	case port == 0:
		return append(findings, unknown("whether the packet filter lets %s in: the port is not known", peer.Name))
	case errors.Is(err, fs.ErrPermission):
		return append(findings, unknown("whether the packet filter lets %s in: tailscaled shows it to root only", peer.Name).
			mend("sudo oauth-proxyd doctor --peer "+x.Peer))
	case err != nil:
		return append(findings, unknown("whether the packet filter lets %s in: %v", peer.Name, err))
	}
	if from, to := x.admittedPair(filter, peer, port); to.IsValid() {
		return append(findings, ok("the packet filter lets %s (%s) reach %s", peer.Name, from, to))
	}
	return append(findings, fail("the tailnet's policy does not let %s (%s) reach port %d: its connections time out", peer.Name, who(peer), port).
		mend("in the tailnet's policy, https://login.tailscale.com/admin/acls:", x.grantPort(sourceOf(peer))))
}

// admittedPair is the first pair of addresses that the filter lets through.
func (x *exam) admittedPair(f tailnet.Filter, peer tailnet.Node, port uint16) (from netip.Addr, to netip.AddrPort) {
	for _, own := range x.node.Addresses {
		for _, theirs := range peer.Addresses {
			dst := netip.AddrPortFrom(own, port)
			if own.BitLen() == theirs.BitLen() && f.AdmitsTCP(peer, theirs, dst) {
				return theirs, dst
			}
		}
	}
	return from, to
}

// who is what the tailnet's policy knows the node by.
func who(n tailnet.Node) string {
	if len(n.Tags) > 0 {
		return strings.Join(n.Tags, ", ")
	}
	return "user " + n.User
}

// sourceOf is the narrowest src of a grant that says what the node is, in quotes.
func sourceOf(n tailnet.Node) string {
	switch {
	case len(n.Tags) > 0:
		return fmt.Sprintf("%q", n.Tags[0])
	case n.User != "":
		return fmt.Sprintf("%q", n.User)
	case len(n.Addresses) > 0:
		return fmt.Sprintf("%q", n.Addresses[0])
	default:
		return `"*"`
	}
}

// destination is this node as the dst of a grant.
func (x *exam) destination() string {
	switch {
	case x.network != nil && len(x.network.Self.Tags) > 0:
		return x.network.Self.Tags[0]
	case len(x.node.Addresses) > 0:
		return x.node.Addresses[0].String()
	default:
		return "*"
	}
}

func (x *exam) grantPort(src string) string {
	return grant(src, fmt.Sprintf("%q", x.destination()), fmt.Sprintf(`"ip": ["tcp:%d"]`, x.port()))
}

// grant is an entry of "grants" (https://tailscale.com/kb/1324/grants).
func grant(src, dst, what string) string {
	return fmt.Sprintf("\"grants\": [\n  {\"src\": [%s], \"dst\": [%s], %s}\n]", src, dst, what)
}

// admitted judges the peer as the proxy would.
func (x *exam) admitted(ctx context.Context, peer tailnet.Node) []Finding {
	if x.settings == nil || len(peer.Addresses) == 0 {
		return []Finding{unknown("whether access.allow admits %s: the configuration is not known", peer.Name)}
	}
	id := access.Identity{
		Source: config.Tailnet, Node: peer.Name, ShortNode: x.node.ShortName(peer.Name),
		NodeID: peer.ID, User: peer.User, Tags: peer.Tags, Addresses: peer.Addresses,
	}
	from := peer.Addresses[0]
	named, err := x.client.WhoIs(ctx, netip.AddrPortFrom(from, 0))
	if err == nil {
		id.Capabilities = named.Capabilities
	}
	if x.node.Userspace {
		from = netip.AddrFrom4([4]byte{127, 0, 0, 1}) // where tailscaled delivers it from
	}
	switch {
	case access.Admits(x.settings.Access.Allow, id, from):
		return []Finding{ok("access.allow admits %s (%s)", peer.Name, who(peer))}
	case err != nil:
		return []Finding{unknown("whether access.allow admits %s by a capability: %v", peer.Name, err)}
	}
	entry := strings.Trim(sourceOf(peer), `"`)
	return []Finding{fail("access.allow does not admit %s (%s): it is refused with 403", peer.Name, who(peer)).
		mend(allowLine(x.settings, entry), "oauth-proxyd reload")}
}
