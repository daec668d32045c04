package config

import (
	"cmp"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

func parseListenAddr(s string) (string, *fault) {
	host, port, err := net.SplitHostPort(s)
	_, hostErr := netip.ParseAddr(host)
	if err != nil || !isPort(port, 0) || hostErr != nil && host != "" && host != "localhost" {
		return "", invalid("must be ADDRESS:PORT, not "+quote(s), `write an IP address in brackets if it is IPv6, "localhost" or nothing, and a port of 0 to 65535; systemd opens Unix sockets`)
	}
	return s, nil
}

func isPort(s string, low uint64) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n >= low
}

// IsTailscale reports whether addr is one that Tailscale assigns to the nodes of a tailnet:
// https://tailscale.com/kb/1015/100.x-addresses and
// https://tailscale.com/kb/1033/ip-and-dns-addresses.
func IsTailscale(addr netip.Addr) bool {
	v4 := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10)
	v6 := netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0}), 48)
	return v4.Contains(addr) || v6.Contains(addr)
}

// StaysPrivate reports whether data that is sent to a without TLS stays on this host or is
// encrypted by the tailnet.
func StaysPrivate(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || IsTailscale(a)
}

// hostStaysPrivate is [StaysPrivate] for a host that may be a name. Only Tailscale resolves names
// under ts.net.
func hostStaysPrivate(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return StaysPrivate(addr)
	}
	return isLoopback(host) || strings.HasSuffix(strings.TrimSuffix(strings.ToLower(host), "."), ".ts.net")
}

// isLoopback reports whether connections to host arrive on this host's loopback: its addresses, the
// names of RFC 6761, section 6.3, and the unspecified address, also as an empty string.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	return err == nil && (addr.Unmap().IsLoopback() || addr.IsUnspecified()) ||
		name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// leadsTo reports whether requests to u arrive at a listener on addr (host:port). Port 0 stands for
// any free port, so no URL leads to it.
func leadsTo(u *url.URL, addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	target := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	m, _ := strconv.ParseUint(port, 10, 16) // numbers are compared: 080 is 80
	n, _ := strconv.ParseUint(target, 10, 16)
	if err != nil || m != n || m == 0 {
		return false
	}
	return isLoopback(host) && isLoopback(u.Hostname()) || sameHost(host, u.Hostname())
}

func sameHost(a, b string) bool {
	m, errM := netip.ParseAddr(a)
	n, errN := netip.ParseAddr(b)
	if errM == nil && errN == nil {
		return m.Unmap() == n.Unmap()
	}
	return strings.EqualFold(a, b)
}

// isHostname reports whether s has the form of a host name (RFC 1123, section 2.1). Underscores are
// accepted, as resolvers do.
func isHostname(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		odd := strings.ContainsFunc(label, func(r rune) bool { return !isAlphanumeric(r) && r != '-' && r != '_' })
		if odd || label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return len(s) <= 253
}
