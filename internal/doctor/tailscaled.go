package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/tailnet"
)

// checkTailscaled asks for the state of the backend, and for the facts that later checks need.
func checkTailscaled(ctx context.Context, x *facts) []Finding {
	settings := cmp.Or(x.settings, config.Default())
	x.client = tailnet.New(tailnet.Config{Socket: settings.Tailscale.Socket, AttemptTimeout: shortLimit})
	status, err := x.client.Connect(ctx)
	x.node = status
	switch {
	case err == nil:
	case x.settings == nil:
		f := x.notConnected(err)
		f.Status, f.Seen = Unknown, f.Seen+"; only the configuration says whether a tailnet is required"
		return []Finding{f}
	case x.settings.Tailscale.Required:
		return []Finding{x.notConnected(err)}
	default:
		return []Finding{ok("no tailnet is required: tailscale.required = false")}
	}
	x.learn(ctx)
	version, _, _ := strings.Cut(status.Version, "-") // without the commit
	device := ""
	if status.Userspace {
		device = ", without a network device"
	}
	findings := []Finding{ok("Running as %s, %s, version %s%s", status.Name, joinAddresses(status.Addresses), version, device)}
	for _, text := range status.Warnings {
		findings = append(findings, at("tailscaled health", warn("tailscaled warns: %s", text).fix("tailscale status", "journalctl -u tailscaled -n 30")))
	}
	return findings
}

// notConnected takes the reason and the fix of an error of Connect apart.
func (x *facts) notConnected(err error) Finding {
	e, _ := errors.AsType[*tailnet.Error](err) // it always is one
	f := fail("%s", strings.TrimSuffix(e.Error(), "; "+e.Fix)).fix(e.Fix)
	if e.AuthURL != "" && x.daemon != nil {
		f = f.fix("oauth-proxyd status   # shows the address to log in at")
	}
	return f
}

// learn asks for the facts that later checks need. A fact that it cannot get stays nil, and the
// checks that need it are unknown.
func (x *facts) learn(ctx context.Context) {
	if x.node.ByCommand {
		return
	}
	if network, err := x.client.Network(ctx); err == nil {
		x.network = &network
	}
	if prefs, err := x.client.Prefs(ctx); err == nil {
		x.prefs = &prefs
	}
}

func joinAddresses(addresses []netip.Addr) string {
	texts := make([]string, len(addresses))
	for i, a := range addresses {
		texts[i] = a.Unmap().String()
	}
	return strings.Join(texts, ", ")
}

func checkKey(_ context.Context, x *facts) []Finding {
	if x.node.Backend == "" || x.node.Name == "" {
		return nil
	}
	switch at, soon := x.node.KeyExpiry, x.node.ExpiryWarning(); {
	case x.node.KeyExpired:
		return []Finding{fail("expired on %s", at.Format(time.DateOnly)).fix("tailscale up --force-reauth")}
	case soon != "":
		return []Finding{warn("expires at %s; then no peer can reach this host", at.Format("2006-01-02 15:04 MST")).
			fix("tailscale up --force-reauth", "or disable its key expiry: https://login.tailscale.com/admin/machines")}
	case at.IsZero():
		return []Finding{ok("never expires")}
	default:
		return []Finding{ok("expires on %s", at.Format(time.DateOnly))}
	}
}

func checkShields(_ context.Context, x *facts) []Finding {
	switch {
	case !x.onTailnet():
		return nil
	case x.prefs == nil:
		return []Finding{unknown("tailscaled does not show its settings").fix("tailscale debug prefs")}
	case x.prefs.ShieldsUp:
		return []Finding{fail("tailscaled refuses every connection from the tailnet").fix("tailscale set --shields-up=false")}
	}
	return []Finding{ok("off: tailscaled accepts connections from the tailnet")}
}

// checkMagicDNS resolves this node's own name, as peers do. A wrong address is a failure. A name
// that does not resolve is only a warning, because peers ask their own resolvers.
func checkMagicDNS(ctx context.Context, x *facts) []Finding {
	name := x.node.Name
	switch {
	case !x.onTailnet() || name == "":
		return nil
	case x.network != nil && !x.network.MagicDNS:
		return []Finding{warn("MagicDNS is off in this tailnet: clients must use %s", x.node.Addresses[0]).
			fix("turn MagicDNS on: https://login.tailscale.com/admin/dns")}
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name+".")
	isForeign := func(a netip.Addr) bool { return !slices.Contains(x.node.Addresses, a.Unmap()) }
	switch {
	case slices.ContainsFunc(found, isForeign):
		return []Finding{fail("%s resolves to %s on this host, but the node's address is %s", name, joinAddresses(found), joinAddresses(x.node.Addresses)).
			fix("getent hosts "+name, "look for the name in /etc/hosts and in the search domains of /etc/resolv.conf")}
	case len(found) > 0:
		return []Finding{ok("%s is %s", name, joinAddresses(found))}
	case x.node.Userspace:
		return []Finding{unknown("not tried: without a network device of tailscaled, this host cannot ask MagicDNS; peers can")}
	case x.prefs != nil && !x.prefs.AcceptDNS:
		return []Finding{warn("accept-dns is off: this host does not ask MagicDNS, but peers may").fix("tailscale set --accept-dns=true")}
	}
	return []Finding{warn("%s does not resolve: %s", name, plain(err)).fix("tailscale dns status", "see https://tailscale.com/kb/1081/magicdns")}
}

// checkServe looks for "tailscale serve" and Funnel that lead to our port.
func checkServe(ctx context.Context, x *facts) []Finding {
	port := x.port()
	if !x.onTailnet() || port == 0 {
		return nil
	}
	served, err := x.client.Published(ctx)
	if err != nil {
		return []Finding{unknown("%v", err).fix("tailscale serve status")}
	}
	var findings []Finding
	for _, p := range served {
		if x.leadsToUs(p, port) {
			findings = append(findings, x.publishedFinding(p))
		}
	}
	x.served = len(findings) > 0
	if !x.served {
		return []Finding{ok("neither tailscale serve nor Funnel leads to port %d", port)}
	}
	return findings
}

func (x *facts) publishedFinding(p tailnet.Published) Finding {
	from := fmt.Sprintf("%s port %d", p.Scheme, p.Port)
	switch {
	case p.Funnel:
		return fail("Funnel opens this daemon to the whole internet: %s leads to %s", from, p.Target).
			fix(fmt.Sprintf("tailscale funnel --%s=%d off", p.Scheme, p.Port))
	case x.settings != nil && !slices.ContainsFunc(x.settings.Access.Allow, func(s config.Source) bool { return s.Kind == config.Proxied }):
		return warn("tailscale serve forwards %s to this daemon, which refuses the requests: access.allow has no \"proxied\"", from).
			fix(allowLine(x.settings, "proxied"), "oauth-proxyd reload", fmt.Sprintf("or: tailscale serve --%s=%d off", p.Scheme, p.Port))
	}
	return ok("tailscale serve forwards %s to this daemon", from)
}

func (x *facts) leadsToUs(p tailnet.Published, port uint16) bool {
	host, to, ok := p.HostPort()
	if !ok || to != port {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && (addr.IsLoopback() || addr.IsUnspecified() || slices.Contains(x.node.Addresses, addr))
}

// checkListener connects to the address at which a peer's connection would arrive.
func checkListener(ctx context.Context, x *facts) []Finding {
	port := x.port()
	switch {
	case !x.onTailnet() || port == 0 || len(x.node.Addresses) == 0:
		return nil
	case x.daemon == nil && x.units.waits():
		return []Finding{unknown("not tried: a connection would start the daemon").fix(x.start())}
	case !x.responds:
		return nil // checkSockets has said why
	}
	own := x.node.Addresses[0]
	address := netip.AddrPortFrom(own, port).String()
	if x.node.Userspace {
		address = fmt.Sprintf("127.0.0.1:%d", port) // tailscaled delivers the connections of peers there
	}
	k := knock(ctx, "tcp", address)
	switch {
	case k.ours:
		return []Finding{ok("%s responds in %s to connections for %s", address, milliseconds(k.took), own)}
	case x.served:
		return []Finding{ok("%s does not respond; peers come through tailscale serve", address)}
	case k.err == nil && !k.silent:
		return []Finding{fail("another program listens on %s: peers do not reach oauth-proxyd", address).fix(whoHas(port))}
	}
	var all []string
	for _, s := range x.sockets() {
		all = append(all, s.Address)
	}
	return []Finding{fail("%s does not respond: the sockets listen on %s", address, strings.Join(all, ", ")).fix(x.listenOn(fmt.Sprintf(":%d", port))...)}
}

// listenOn returns the steps to listen on an address; one without a host means every one.
func (x *facts) listenOn(address string) []string {
	if x.units.installed() && x.units.socket.Load == "loaded" {
		return []string{
			"systemctl edit " + socketUnit,
			fmt.Sprintf("[Socket]\nListenStream=\nListenStream=%s", strings.TrimPrefix(address, ":")),
			"systemctl stop " + serviceUnit + " " + socketUnit, "systemctl start " + socketUnit + " " + serviceUnit,
		}
	}
	return []string{fmt.Sprintf("proxy {\n  listen_addr = %q\n}", address), x.start()}
}
