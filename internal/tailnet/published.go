package tailnet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tailscale.com/ipn"
)

// Published is something on this host that tailscaled itself answers for:
// "tailscale serve", or "tailscale funnel" (https://tailscale.com/kb/1312/serve).
type Published struct {
	Port   uint16 // on the tailnet
	Path   string // mount point; empty for plain TCP
	Scheme string // https, http, tcp
	Target string // where it leads, as it was given
	Funnel bool   // from the open internet too
}

// Published lists all of it by port and path, within AttemptTimeout.
func (c *Client) Published(ctx context.Context) ([]Published, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	sc, err := c.local.GetServeConfig(ctx)
	if dialFailure(err) != nil {
		sc, err = c.serveConfigByCommand(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("asking tailscaled what it serves: %w", c.explain(err))
	}
	all := publishedIn(sc)
	for _, id := range slices.Sorted(maps.Keys(sc.Foreground)) {
		all = append(all, publishedIn(sc.Foreground[id])...)
	}
	slices.SortStableFunc(all, func(a, b Published) int {
		return strings.Compare(fmt.Sprintf("%05d %s", a.Port, a.Path), fmt.Sprintf("%05d %s", b.Port, b.Path))
	})
	return all, nil
}

func (c *Client) serveConfigByCommand(ctx context.Context) (*ipn.ServeConfig, error) {
	out, err := runCommand(ctx, c.cfg.Socket, "serve", "status", "--json")
	if err != nil {
		return nil, err
	}
	sc := new(ipn.ServeConfig)
	if err := json.Unmarshal(out, sc); err != nil {
		return nil, fmt.Errorf("reading the output of `tailscale serve status`: %w", err)
	}
	return sc, nil
}

// ForwardsTo reports whether a TCP forward of "tailscale serve" or Funnel may lead to a port
// of this host: whoever comes that way is a connection of tailscaled's, from loopback.
// funnel is whether one of these leads there from the open internet.
func (c *Client) ForwardsTo(ctx context.Context, port uint16) (forwards, funnel bool, err error) {
	all, err := c.Published(ctx)
	if err != nil {
		return false, false, err
	}
	for _, p := range all {
		host, to, ok := p.Leads()
		addr, err := netip.ParseAddr(host)
		elsewhere := err == nil && !addr.IsLoopback() && !addr.IsUnspecified()
		if p.Scheme == "tcp" && ok && to == port && !elsewhere {
			forwards, funnel = true, funnel || p.Funnel
		}
	}
	return forwards, funnel, nil
}

func publishedIn(sc *ipn.ServeConfig) []Published {
	if sc == nil {
		return nil
	}
	all := published(sc.TCP, sc.Web, sc.AllowFunnel)
	for _, name := range slices.Sorted(maps.Keys(sc.Services)) {
		if service := sc.Services[name]; service != nil {
			all = append(all, published(service.TCP, service.Web, nil)...)
		}
	}
	return all
}

func published(tcp map[uint16]*ipn.TCPPortHandler, web map[ipn.HostPort]*ipn.WebServerConfig, funnel map[ipn.HostPort]bool) []Published {
	var all []Published
	for port, h := range tcp {
		if h != nil && h.TCPForward != "" {
			all = append(all, Published{Port: port, Scheme: "tcp", Target: h.TCPForward, Funnel: isFunnel(funnel, port)})
		}
	}
	for at, server := range web {
		port, err := at.Port()
		if err != nil || server == nil {
			continue
		}
		scheme := "https"
		if h := tcp[port]; h != nil && h.HTTP {
			scheme = "http"
		}
		for path, h := range server.Handlers {
			if h != nil && h.Proxy != "" {
				all = append(all, Published{Port: port, Path: path, Scheme: scheme, Target: h.Proxy, Funnel: funnel[at]})
			}
		}
	}
	return all
}

func isFunnel(funnel map[ipn.HostPort]bool, port uint16) bool {
	for at, on := range funnel {
		if p, err := at.Port(); on && err == nil && p == port {
			return true
		}
	}
	return false
}

// Leads gives host and port of the target, in any of the forms that tailscale takes:
// a URL, host:port, or a port alone. ok is false for a Unix socket.
func (p Published) Leads() (host string, port uint16, ok bool) {
	target := p.Target
	if _, err := strconv.ParseUint(target, 10, 16); err == nil {
		target = "localhost:" + target
	}
	if !strings.Contains(target, "://") {
		target = "http://" + target
	}
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		return "", 0, false
	}
	text := u.Port()
	if text == "" {
		text = map[bool]string{true: "443", false: "80"}[strings.HasPrefix(u.Scheme, "https")]
	}
	n, err := net.LookupPort("tcp", text)
	return u.Hostname(), uint16(n), err == nil && !strings.HasPrefix(p.Target, "unix:")
}
