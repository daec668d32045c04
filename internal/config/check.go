package config

import "strconv"

// crossCheck finds fault with values that are good each by itself.
func (d *decoder) crossCheck() {
	listen, upstream, proxy := d.places["proxy.listen_addr"], d.places["proxy.upstream_url"], d.places["proxy.upstream_proxy"]
	p := d.config.Proxy
	if !listen.bad && !upstream.bad && p.UpstreamIs(p.ListenAddr) {
		d.findAt(given(upstream, listen), "proxy",
			"proxy.upstream_url: the upstream is the daemon itself, which listens on "+strconv.Quote(p.ListenAddr),
			"requests would go round in circles: change upstream_url, or the port of listen_addr")
	}
	if !upstream.bad && !proxy.bad && p.UpstreamProxy != nil &&
		p.UpstreamURL.Scheme == "http" && !staysPrivate(p.UpstreamProxy.Hostname()) {
		d.findAt(given(proxy, upstream), "proxy",
			"proxy.upstream_proxy: an http:// upstream through this proxy would send credentials in clear",
			"leave upstream_proxy out, or use an https:// upstream")
	}
}

// given is the place that somebody can mend: the first, unless its value is
// the default.
func given(first, second place) place {
	if first.origin == "" && first.at.Empty() {
		return second
	}
	return first
}
