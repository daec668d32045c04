package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// anthropic is the default upstream.
func anthropic() *url.URL { return &url.URL{Scheme: "https", Host: "api.anthropic.com"} }

// upstreamURL binds the URL that requests go to.
func upstreamURL(name string, field **url.URL) attribute {
	parse := func(s string) (*url.URL, *fault) {
		u, wrong := parseBareURL(s, anthropic().String())
		if wrong == nil && u.Scheme == "http" && !staysPrivate(u.Hostname()) {
			return nil, notPrivate(u)
		}
		return u, wrong
	}
	return text(name, anthropic().String(), field, parse, spellURL)
}

func spellURL(u *url.URL) string { return u.String() }

// parseBareURL reads scheme and host, and refuses all else that a URL can
// hold (RFC 3986). Faults do not repeat the URL: it may hold a credential,
// also where it cannot be parsed.
func parseBareURL(s, example string) (*url.URL, *fault) {
	hint := "write the scheme and the host alone, such as " + strconv.Quote(example)
	if strings.Contains(s, "@") {
		return nil, &fault{
			summary: "the URL holds a user name or a password",
			hint:    "take it out: the daemon holds no credentials",
		}
	}
	u, err := url.Parse(s)
	switch {
	case s == "":
		return nil, &fault{summary: "the URL is empty", hint: hint}
	case err != nil || !isVisible(s):
		return nil, &fault{summary: "the value is not a URL", hint: hint}
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, &fault{summary: "the URL does not begin with https:// or http://", hint: hint}
	case u.Host == "" || u.Opaque != "":
		return nil, &fault{summary: "the URL has no host", hint: hint}
	case u.RawQuery != "" || u.ForceQuery:
		return nil, &fault{summary: "the URL has a query", hint: hint}
	case strings.Contains(s, "#"):
		return nil, &fault{summary: "the URL has a fragment", hint: hint}
	case u.Path != "" && u.Path != "/":
		return nil, &fault{summary: "the URL has a path", hint: hint + ": each request brings its own path"}
	}
	if wrong := checkHost(u); wrong != nil {
		return nil, wrong
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}, nil
}

// checkHost finds fault with a host or port that nothing can be sent to.
func checkHost(u *url.URL) *fault {
	host := u.Hostname()
	addr, err := netip.ParseAddr(host)
	lastLabel := host[strings.LastIndexByte(host, '.')+1:]
	switch {
	case err == nil && (addr.IsUnspecified() || addr.IsMulticast()):
		return &fault{summary: quote(host) + " is an address that nothing can be sent to"}
	case err != nil && !isHostname(strings.TrimSuffix(host, ".")):
		return &fault{summary: quote(host) + " is not a host name"}
	case err != nil && strings.Trim(lastLabel, "0123456789") == "" && lastLabel != "":
		return &fault{summary: quote(host) + " is neither a host name nor an IP address"}
	case strings.HasSuffix(u.Host, ":"):
		return &fault{summary: "the URL has a colon and no port"}
	case u.Port() != "" && !isPort(u.Port(), 1):
		return &fault{summary: quote(u.Port()) + " is not a port", hint: "1 to 65535"}
	}
	return nil
}

func isPort(s string, low uint64) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n >= low
}

// staysPrivate says whether what is sent to host in clear stays on this host
// or inside the tailnet's encryption: loopback, and Tailscale's ranges and
// names (https://tailscale.com/kb/1015/100.x-addresses).
func staysPrivate(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.Unmap()
		v4, v6 := netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fd7a:115c:a1e0::/48")
		return addr.IsLoopback() || v4.Contains(addr) || v6.Contains(addr)
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return isLocalhost(host) || strings.HasSuffix(host, ".ts.net")
}

// isLocalhost follows RFC 6761, section 6.3.
func isLocalhost(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func notPrivate(u *url.URL) *fault {
	wrong := &fault{
		summary: "http:// to " + quote(u.Hostname()) + " would send credentials in clear",
		hint:    "write https://; http:// is only for loopback, Tailscale addresses and names under ts.net",
	}
	_, err := netip.ParseAddr(u.Hostname())
	if err != nil && !strings.Contains(u.Hostname(), ".") {
		wrong.hint = "write the full name, which ends in .ts.net: a short one is completed by whatever search domain the host has"
	}
	return wrong
}

// UpstreamIs says whether the upstream is the listener at addr (host:port):
// the same port, and the same host or both of them on loopback, every address
// counting as loopback. Requests would go round in circles.
func (p Proxy) UpstreamIs(addr string) bool { return leadsTo(p.UpstreamURL, addr) }

// proxiesInclude says the same of the proxies on the way.
func (p Proxy) proxiesInclude(addr string) bool {
	return slices.ContainsFunc(p.UpstreamProxies, func(u *url.URL) bool { return leadsTo(u, addr) })
}

func leadsTo(u *url.URL, addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	own := u.Port()
	if own == "" {
		own = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if err != nil || !samePort(port, own) {
		return false
	}
	return sameHost(host, u.Hostname()) || reachesLoopback(host) && reachesLoopback(u.Hostname())
}

// samePort compares numbers: 080 is 80, and 0 is nobody's.
func samePort(a, b string) bool {
	m, errM := strconv.ParseUint(a, 10, 16)
	n, errN := strconv.ParseUint(b, 10, 16)
	return errM == nil && errN == nil && m == n && m != 0
}

func sameHost(a, b string) bool {
	m, errM := netip.ParseAddr(a)
	n, errN := netip.ParseAddr(b)
	if errM == nil && errN == nil {
		return m.Unmap() == n.Unmap()
	}
	return a != "" && strings.EqualFold(a, b)
}

func reachesLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host == "" || isLocalhost(host)
	}
	return addr.Unmap().IsLoopback() || addr.IsUnspecified()
}
