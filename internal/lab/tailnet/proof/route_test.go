package proof_test

import (
	"net/netip"
	"slices"
	"testing"

	"tailscale.com/net/tsaddr"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/tailnet"
)

// TestAPeerThatIsRoutedToThisHostIsNotLocal uses routes to addresses of the router itself.
// tailscaled's own network stack dials such an address like any program on the host. The addresses
// are in no network, so that nothing but the route leads there, and they are not private, because
// exit nodes refuse those (RFC 5737).
func TestAPeerThatIsRoutedToThisHostIsNotLocal(t *testing.T) {
	t.Parallel()
	if !canTUN(t) {
		return
	}
	bySubnet, by4via6, byExit := netip.MustParsePrefix("198.51.100.1/32"), netip.MustParsePrefix("198.51.100.2/32"), netip.MustParsePrefix("198.51.100.3/32")
	via, err := tsaddr.MapVia(7, by4via6)
	if err != nil {
		t.Fatal(err)
	}
	inBothModes(t, func(t *testing.T, tun bool) {
		lab := tailnet.Start(t)
		host := lab.Node(tailnet.Spec{Name: "proxy", TUN: tun, OwnHost: true})
		peer := lab.Node(tailnet.Spec{Name: "peer", OwnHost: true, User: "mallory@example.com"})
		peer.Tailscale("set", "--accept-routes")
		w := newRecorder(t, host)
		d := start(t, setting{node: host, upstream: w.url, nobody: true, blocks: []string{list("local")}})
		for _, row := range []struct {
			name    string
			address netip.Prefix
			routes  []netip.Prefix
			to      netip.Addr
		}{
			{"subnet-route", bySubnet, []netip.Prefix{bySubnet}, bySubnet.Addr()},
			{"4via6", by4via6, []netip.Prefix{via}, via.Addr()},
			{"exit-node", byExit, []netip.Prefix{tsaddr.AllIPv4(), tsaddr.AllIPv6()}, byExit.Addr()},
		} {
			on(t, host, "ip", "address", "add", row.address.String(), "dev", "eth0")
			follow(t, peer, host, row.routes)
			w.wantOutside(t, "/"+row.name, reach(t, peer, d.at(row.to.String())+"/"+row.name))
			d.wantLocal("/own-"+row.name, row.address.Addr().String())
		}
		w.wantOutside(t, "/direct", reach(t, peer, d.url()+"/direct"), "access_denied")
	})
}

// follow sets the routes of the host and waits until the peer uses them.
func follow(t *testing.T, peer, host *tailnet.Node, routes []netip.Prefix) {
	t.Helper()
	host.Route(routes...)
	daemontest.Eventually(t, "the peer hears of the routes", func() bool {
		for _, p := range peer.Status().Peer {
			if p.AllowedIPs != nil && slices.Contains(p.AllowedIPs.AsSlice(), routes[0]) {
				return true
			}
		}
		return false
	})
	if routes[0].Bits() == 0 {
		peer.Tailscale("set", "--exit-node="+host.Addr().String())
	}
}
