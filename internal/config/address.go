package config

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// listenAddr binds the address that is listened on where systemd passed no socket.
func listenAddr(name string, field *string) attribute {
	return text(name, "127.0.0.1:8080", field, parseListenAddr, asIs)
}

func parseListenAddr(s string) (string, *fault) {
	host, port, err := net.SplitHostPort(s)
	_, hostErr := netip.ParseAddr(host)
	switch {
	case strings.HasPrefix(s, "unix:") || strings.HasPrefix(s, "/") || strings.HasPrefix(s, "@"):
		return "", invalid("must not be a Unix socket",
			"let systemd open it: a socket unit with ListenStream= (systemd.socket(5)) and Service=oauth-proxyd.service")
	case err != nil:
		return "", notHostPort(s)
	case !isPort(port, 0):
		return "", invalid(quote(port)+" is not a port", "0 to 65535; 0 is any free one")
	case hostErr != nil && host != "" && host != "localhost":
		return "", invalid(quote(host)+" is not an IP address",
			`the addresses of a name may change: write the address, "localhost", or nothing before the colon`)
	}
	return s, nil
}

func notHostPort(s string) *fault {
	hint := `write an address and a port, such as "127.0.0.1:8080" or "[::1]:8080"; ":8080" is every address`
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		hint = "write " + strconv.Quote(net.JoinHostPort(addr.String(), "8080"))
	}
	if isPort(s, 0) {
		hint = "write " + strconv.Quote("127.0.0.1:"+s) + ", or " + strconv.Quote(":"+s) + " for every address"
	}
	return invalid("must be host:port, not "+quote(s), hint)
}

func isPort(s string, low uint64) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n >= low
}

// IsTailscale reports whether addr is in the ranges that Tailscale assigns to the nodes of a
// tailnet: https://tailscale.com/kb/1015/100.x-addresses and
// https://tailscale.com/kb/1033/ip-and-dns-addresses.
func IsTailscale(addr netip.Addr) bool {
	v4 := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10)
	v6 := netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0}), 48)
	return v4.Contains(addr) || v6.Contains(addr)
}

// StaysPrivate reports whether what is sent to a in clear stays on this host or inside the
// encryption of the tailnet.
func StaysPrivate(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || IsTailscale(a)
}

// hostStaysPrivate is [StaysPrivate] for a host that may be a name. Only Tailscale answers for
// names under ts.net.
func hostStaysPrivate(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return StaysPrivate(addr)
	}
	return isLocalhost(host) || strings.HasSuffix(strings.TrimSuffix(strings.ToLower(host), "."), ".ts.net")
}

// isLocalhost follows RFC 6761, section 6.3.
func isLocalhost(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// leadsTo reports whether requests to u arrive at a listener on addr (host:port): the port is the
// same, and so is the host, or both are on loopback. A listener on every address is on loopback,
// too.
func leadsTo(u *url.URL, addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	target := u.Port()
	if target == "" {
		target = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if err != nil || !samePort(port, target) {
		return false
	}
	return sameHost(host, u.Hostname()) || reachesLoopback(host) && reachesLoopback(u.Hostname())
}

// samePort compares numbers: 080 is 80. Port 0 is a free one, which no URL leads to.
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
