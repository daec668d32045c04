package tailnet

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tailscale.com/ipn"
)

// Published is a service on this host that tailscaled publishes, by "tailscale serve" or "tailscale
// funnel" (https://tailscale.com/kb/1312/serve).
type Published struct {
	Port   uint16 // on the tailnet
	Path   string // mount point; empty for plain TCP
	Scheme string // https, http, tcp
	Target string // as the user wrote it
	Funnel bool   // also to the open internet
}

// Published lists all published services by port and path, within AttemptTimeout.
func (c *Client) Published(ctx context.Context) ([]Published, error) { return c.published.get(ctx) }

func (c *Client) askPublished(ctx context.Context) ([]Published, error) {
	sc, err := ask(ctx, c, "what it serves", func(ctx context.Context) (sc *ipn.ServeConfig, err error) {
		if sc, err = c.local.GetServeConfig(ctx); dialFailure(err) != nil {
			err = c.runCommand(ctx, &sc, "serve", "status", "--json")
		}
		return sc, err
	})
	if err != nil {
		return nil, err
	}
	all := publishedIn(sc)
	slices.SortFunc(all, func(a, b Published) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Target, b.Target))
	})
	return all, nil
}

// ForwardsTo reports whether a TCP forward of "tailscale serve" or Funnel may lead to a port of
// this host. Its connections come from tailscaled over loopback and do not show the client. funnel
// reports whether such a forward is open to the internet.
func (c *Client) ForwardsTo(ctx context.Context, port uint16) (forwards, funnel bool, err error) {
	all, err := c.Published(ctx)
	for _, p := range all {
		host, to, ok := p.HostPort()
		addr, err := netip.ParseAddr(host)
		elsewhere := err == nil && !addr.IsLoopback() && !addr.IsUnspecified()
		if p.Scheme == "tcp" && ok && to == port && !elsewhere {
			forwards, funnel = true, funnel || p.Funnel
		}
	}
	return forwards, funnel, err
}

// publishedIn lists what a serve configuration publishes: for this node, for services, and by
// commands in the foreground.
func publishedIn(sc *ipn.ServeConfig) []Published {
	if sc == nil {
		return nil
	}
	all := published(sc.TCP, sc.Web, sc.AllowFunnel)
	for _, service := range sc.Services {
		all = append(all, published(service.TCP, service.Web, nil)...)
	}
	for _, session := range sc.Foreground {
		all = append(all, publishedIn(session)...)
	}
	return all
}

func published(tcp map[uint16]*ipn.TCPPortHandler, web map[ipn.HostPort]*ipn.WebServerConfig, funnel map[ipn.HostPort]bool) []Published {
	var all []Published
	fromInternet := map[uint16]bool{}
	for at, on := range funnel {
		if port, err := at.Port(); err == nil && on {
			fromInternet[port] = true
		}
	}
	for port, h := range tcp {
		if h.TCPForward != "" {
			all = append(all, Published{Port: port, Scheme: "tcp", Target: h.TCPForward, Funnel: fromInternet[port]})
		}
	}
	for at, server := range web {
		port, _ := at.Port() // 0 is no port of a handler
		scheme := "https"
		if h := tcp[port]; h != nil && h.HTTP {
			scheme = "http"
		}
		for path, h := range server.Handlers {
			if h.Proxy != "" {
				all = append(all, Published{Port: port, Path: path, Scheme: scheme, Target: h.Proxy, Funnel: fromInternet[port]})
			}
		}
	}
	return all
}

// HostPort returns host and port of the target, in any form that tailscale accepts: a URL,
// host:port, or a port. ok is false for a Unix socket.
func (p Published) HostPort() (host string, port uint16, ok bool) {
	target := p.Target
	if _, err := strconv.ParseUint(target, 10, 16); err == nil {
		target = "localhost:" + target
	}
	if !strings.Contains(target, "://") {
		target = "http://" + target
	}
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || strings.HasPrefix(p.Target, "unix:") {
		return "", 0, false
	}
	service := "http"
	if strings.HasPrefix(u.Scheme, "https") {
		service = "https"
	}
	n, err := net.LookupPort("tcp", cmp.Or(u.Port(), service))
	return u.Hostname(), uint16(n), err == nil
}
