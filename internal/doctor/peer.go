package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/tailnet"
)

// inPolicy comes before a text to add to the policy.
const inPolicy = "add this to the tailnet's policy, https://login.tailscale.com/admin/acls:"

// checkPeer says whether a peer gets in: whether the tailnet's packet filter lets it connect to our
// port, and whether access.allow admits it.
func checkPeer(ctx context.Context, x *facts) []Finding {
	switch {
	case x.Peer == "":
		return nil
	case !x.onTailnet():
		return []Finding{unknown("whether %q gets in: tailscaled is not connected to the tailnet", x.Peer)}
	case x.network == nil:
		return []Finding{unknown("whether %q gets in: tailscaled does not show its peers", x.Peer)}
	}
	switch found := x.network.Find(x.Peer); {
	case len(found) == 0 && (x.Peer == x.node.Name || x.Peer == x.node.ShortName(x.node.Name)):
		return []Finding{fail("%q is this node itself", x.Peer).fix("name the node that sends requests, such as the gateway")}
	case len(found) == 0:
		return []Finding{fail("this node sees no node named %q: the name is misspelt, or the tailnet's policy keeps the two apart", x.Peer).
			fix("tailscale status   # shows the names")}
	case len(found) > 1:
		f := fail("%d nodes are named %q", len(found), x.Peer)
		for _, n := range found {
			f = f.fix("oauth-proxyd doctor --peer " + n.Node)
		}
		return []Finding{f}
	default:
		return append(x.reachable(ctx, found[0]), x.admitted(ctx, found[0])...)
	}
}

// reachable reads the packet filter, which tailscaled shows only to root.
func (x *facts) reachable(ctx context.Context, peer tailnet.Node) []Finding {
	var findings []Finding
	switch {
	case peer.KeyExpired:
		findings = append(findings, fail("the node key of %s has expired", peer.Node).fix("on that node: tailscale up --force-reauth"))
	case !peer.Online:
		findings = append(findings, warn("%s is offline", peer.Node).fix("on that node: tailscale status"))
	}
	port := x.port()
	filter, err := x.client.Filter(ctx)
	switch {
	case port == 0:
		return append(findings, unknown("whether the packet filter lets %s in: the port is not known", peer.Node))
	case errors.Is(err, fs.ErrPermission):
		return append(findings, unknown("whether the packet filter lets %s in: tailscaled shows it to root only", peer.Node).
			fix(asRoot))
	case err != nil:
		return append(findings, unknown("whether the packet filter lets %s in: %v", peer.Node, err))
	}
	if from, to := x.admittedPair(filter, peer, port); to.IsValid() {
		return append(findings, ok("the packet filter lets %s (%s) reach %s", peer.Node, from, to))
	}
	return append(findings, fail("the tailnet's policy does not let %s (%s) reach port %d: its connections time out", peer.Node, owner(peer), port).
		fix(inPolicy, x.grant(entryFor(peer.Identity))))
}

// admittedPair returns the first pair of addresses that the packet filter lets through.
func (x *facts) admittedPair(f tailnet.Filter, peer tailnet.Node, port uint16) (from netip.Addr, to netip.AddrPort) {
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

// owner returns what the tailnet's policy knows the node by: its tags or its user.
func owner(n tailnet.Node) string {
	if len(n.Tags) > 0 {
		return strings.Join(n.Tags, ", ")
	}
	return "user " + n.User
}

// entryFor returns the narrowest entry for the node, in access.allow and in a grant.
func entryFor(n access.Identity) string {
	entries := append(slices.Clone(n.Tags), n.User)
	for _, a := range n.Addresses {
		entries = append(entries, a.String())
	}
	return cmp.Or(append(entries, "*")...)
}

// grant returns an entry of "grants" (https://tailscale.com/kb/1324/grants) from src to our port.
func (x *facts) grant(src string) string {
	dst := entryFor(access.Identity{Tags: x.network.Self.Tags, Addresses: x.node.Addresses})
	return fmt.Sprintf("\"grants\": [\n  {\"src\": [%q], \"dst\": [%q], \"ip\": [\"tcp:%d\"]}\n]", src, dst, x.port())
}

// admitted says whether access.allow admits the peer.
func (x *facts) admitted(ctx context.Context, peer tailnet.Node) []Finding {
	if x.settings == nil || len(peer.Addresses) == 0 {
		return []Finding{unknown("whether access.allow admits %s: the configuration is not known", peer.Node)}
	}
	id := peer.Identity
	from := peer.Addresses[0]
	named, found, err := x.client.WhoIs(ctx, netip.AddrPortFrom(from, 0))
	id.Capabilities = named.Capabilities
	if x.node.Userspace {
		from = netip.MustParseAddr("127.0.0.1") // tailscaled delivers the connections of peers from there
	}
	switch {
	case access.Admits(x.settings.Access.Allow, id, from):
		return []Finding{ok("access.allow admits %s (%s)", peer.Node, owner(peer))}
	case err != nil:
		return []Finding{unknown("whether access.allow admits %s by a capability: %v", peer.Node, err)}
	case !found:
		return []Finding{unknown("whether access.allow admits %s by a capability: tailscaled does not know the peer", peer.Node)}
	}
	return []Finding{fail("access.allow does not admit %s (%s): it is refused with 403", peer.Node, owner(peer)).
		fix(allowLine(x.settings, entryFor(peer.Identity)), "oauth-proxyd reload")}
}

// checkRefusals names the peers whose connections to our port tailscaled refused within the last
// hour. tailscaled records refused connections only if the node has an attribute for that, which
// matters only with --peer.
func checkRefusals(ctx context.Context, x *facts) []Finding {
	port := x.port()
	if !x.onTailnet() || x.network == nil || port == 0 {
		return nil
	}
	refusals, recorded, err := x.client.Refusals(ctx)
	switch {
	case (err != nil || !recorded) && x.Peer == "":
		return nil
	case err != nil:
		return []Finding{unknown("%v", err)}
	case !recorded:
		return []Finding{unknown("tailscaled does not record refused connections").fix(inPolicy,
			fmt.Sprintf("\"nodeAttrs\": [\n  {\"target\": [%q], \"attr\": [%q]}\n]", entryFor(x.network.Self.Identity), tailnet.RefusalAttribute))}
	}
	var findings []Finding
	for _, r := range refusals {
		if r.Dst.Port() == port && time.Since(r.Last) < time.Hour {
			findings = append(findings, x.refusalFinding(r))
		}
	}
	if len(findings) == 0 {
		return []Finding{ok("tailscaled refused no connection to port %d within the last hour", port)}
	}
	return findings
}

func (x *facts) refusalFinding(r tailnet.Refusal) Finding {
	name, src := r.Src.Addr().String(), r.Src.Addr().String()
	if n, found := x.find(name); found {
		name, src = fmt.Sprintf("%s (%s)", n.Node, owner(n)), entryFor(n.Identity)
	}
	f := warn("tailscaled refused %s %d times, last at %s, reason: %s", name, r.Count, r.Last.Local().Format(time.TimeOnly), r.Reason)
	switch r.Reason {
	case "acl":
		return f.fix(inPolicy, x.grant(src))
	case "shields":
		return f.fix("tailscale set --shields-up=false")
	}
	return f.fix("look for a firewall on this host: nft list ruleset")
}
