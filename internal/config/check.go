package config

import "strconv"

// crossCheck finds fault with values that are good each by itself.
func (d *decoder) crossCheck() {
	listen, upstream, proxies := d.places["proxy.listen_addr"], d.places["proxy.upstream_url"], d.places["proxy.upstream_proxy"]
	p := d.config.Proxy
	if !listen.bad && !upstream.bad && p.UpstreamIs(p.ListenAddr) {
		d.findAt(given(upstream, listen), "proxy",
			"proxy.upstream_url: the upstream is the daemon itself, which listens on "+strconv.Quote(p.ListenAddr),
			"requests would go round in circles: change upstream_url, or the port of listen_addr")
	}
	if proxies.bad {
		return
	}
	if !listen.bad && p.proxiesInclude(p.ListenAddr) {
		d.findAt(given(proxies, listen), "proxy",
			"proxy.upstream_proxy: a proxy is the daemon itself, which listens on "+strconv.Quote(p.ListenAddr),
			"change upstream_proxy, or the port of listen_addr")
	}
	if !upstream.bad {
		d.checkProxied(given(proxies, upstream))
	}
}

// checkProxied finds fault with an upstream that cannot be reached through each of the
// proxies, or not safely.
func (d *decoder) checkProxied(at place) {
	p := d.config.Proxy
	for _, proxy := range p.UpstreamProxies {
		switch {
		case p.UpstreamURL.Scheme == "http" && !staysPrivate(proxy.Hostname()):
			d.findAt(at, "proxy",
				"proxy.upstream_proxy: an http:// upstream through "+quote(proxy.Host)+" would send credentials in clear",
				"leave upstream_proxy out, or use an https:// upstream")
		case reachesLoopback(p.UpstreamURL.Hostname()) && !reachesLoopback(proxy.Hostname()):
			d.findAt(at, "proxy",
				"proxy.upstream_proxy: the upstream is on this host, and "+quote(proxy.Host)+" would look for it on its own",
				"leave upstream_proxy out, or name the upstream by the address that the proxy knows")
		default:
			continue
		}
		return // the first shows what is wrong
	}
}

// given is the place that somebody can fix: the first, unless its value is
// the default.
func given(first, second place) place {
	if first.origin == "" && first.at.Empty() {
		return second
	}
	return first
}
