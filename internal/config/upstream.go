package config

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func anthropic() *url.URL { return &url.URL{Scheme: "https", Host: "api.anthropic.com"} }

func upstreamURL(path string, field **url.URL) attribute {
	parse := func(s string) (*url.URL, *fault) {
		u, bad := parseBareURL(s, anthropic().String(), "https", "http")
		if bad != nil || u.Scheme != "http" || hostStaysPrivate(u.Hostname()) {
			return u, bad
		}
		hint := "write https://; http:// is only for loopback, Tailscale addresses and names under ts.net"
		if !strings.ContainsAny(u.Hostname(), ".:") {
			hint = "write the full name, which ends in .ts.net: the search domains of the host decide what a short one means"
		}
		return nil, invalid("http:// to "+quote(u.Hostname())+" would send credentials in clear", hint)
	}
	return text(path, anthropic().String(), field, parse, (*url.URL).String)
}

func proxies(path string, field *[]*url.URL) attribute {
	const most = 8 // a request may have to wait for each that is dead
	const example = "http://proxy.example.com:3128"
	parse := func(s string) (*url.URL, *fault) {
		u, bad := parseBareURL(s, example, "http")
		if bad == nil && u.Port() == "" {
			return nil, invalid("must have a port", "proxies have no default port: "+strconv.Quote(example))
		}
		return u, bad
	}
	check := func(all []*url.URL) *fault {
		if len(all) > most {
			return invalid("must have at most "+strconv.Itoa(most)+" proxies, not "+strconv.Itoa(len(all)), "")
		}
		return nil
	}
	return list(path, example, field, parse, (*url.URL).String, check)
}

// parseBareURL reads the scheme, which must be one of schemes, and the host, and refuses all other
// parts of a URL (RFC 3986). Faults do not repeat the URL, which may hold a credential.
func parseBareURL(s, example string, schemes ...string) (*url.URL, *fault) {
	hint := "write only the scheme and the host, such as " + strconv.Quote(example)
	u, err := url.Parse(s)
	switch {
	case strings.Contains(s, "@"):
		return nil, invalid("must not hold a user name or a password", "remove it: the daemon holds no credentials")
	case err != nil:
		return nil, invalid("must be a URL", hint)
	case !slices.Contains(schemes, u.Scheme):
		return nil, invalid("must begin with "+strings.Join(schemes, ":// or ")+"://", hint)
	case u.Host == "" || u.Opaque != "":
		return nil, invalid("must have a host", hint)
	case strings.ContainsAny(s, "?#"):
		return nil, invalid("must not have a query or a fragment", hint)
	case u.Path != "" && u.Path != "/":
		return nil, invalid("must not have a path", "remove "+quote(u.Path))
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}, checkHost(u)
}

// checkHost refuses a host or a port that nothing can be sent to.
func checkHost(u *url.URL) *fault {
	host := u.Hostname()
	addr, err := netip.ParseAddr(host)
	lastLabel := host[strings.LastIndexByte(host, '.')+1:]
	switch {
	case addr.IsMulticast():
		return invalid("nothing can be sent to "+quote(host), "")
	case err != nil && (!isHostname(strings.TrimSuffix(host, ".")) || lastLabel != "" && strings.Trim(lastLabel, "0123456789") == ""):
		return invalid(quote(host)+" is neither a host name nor an IP address", "")
	case strings.HasSuffix(u.Host, ":") || u.Port() != "" && !isPort(u.Port(), 1):
		return invalid(quote(u.Port())+" is not a port", "1 to 65535")
	}
	return nil
}

// UpstreamIs reports whether the upstream is the listener on addr (host:port), so that requests
// would loop. An unspecified address and localhost count as loopback.
func (p Proxy) UpstreamIs(addr string) bool { return leadsTo(p.UpstreamURL, addr) }

// crossCheck refuses values that are valid on their own but not together. Only an upstream or a
// proxy that was set can be wrong.
func (d *decoder) crossCheck() {
	p := d.config.Proxy
	upstream, through := d.settings["proxy.upstream_url"], d.settings["proxy.upstream_proxy"]
	ourselves := ", which listens on " + quote(p.ListenAddr)
	if p.UpstreamIs(p.ListenAddr) {
		d.reportAt(upstream, "proxy.upstream_url: the upstream is the daemon itself"+ourselves, "change upstream_url, or the port of listen_addr")
	}
	for _, proxy := range p.UpstreamProxies {
		switch {
		case leadsTo(proxy, p.ListenAddr):
			d.reportAt(through, "proxy.upstream_proxy: a proxy is the daemon itself"+ourselves, "change upstream_proxy, or the port of listen_addr")
			return
		case p.UpstreamURL.Scheme == "http" && !hostStaysPrivate(proxy.Hostname()):
			d.reportAt(through, "proxy.upstream_proxy: an http:// upstream through "+quote(proxy.Host)+" would send credentials in clear",
				"remove upstream_proxy, or use an https:// upstream")
			return
		case isLoopback(p.UpstreamURL.Hostname()) && !isLoopback(proxy.Hostname()):
			d.reportAt(through, "proxy.upstream_proxy: the upstream is on this host, which "+quote(proxy.Host)+" cannot reach by a loopback address",
				"remove upstream_proxy, or name the upstream by the address that the proxy knows")
			return
		}
	}
}
