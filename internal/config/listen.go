package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// listenAddr binds the address that is listened on where systemd passed no
// socket.
func listenAddr(name string, field *string) attribute {
	return text(name, "127.0.0.1:8080", field, parseListenAddr, func(s string) string { return s })
}

func parseListenAddr(s string) (string, *fault) {
	hint := `an address and a port, such as "127.0.0.1:8080" or "[::1]:8080"; ":8080" is every address`
	if strings.HasPrefix(s, "unix:") || strings.HasPrefix(s, "/") || strings.HasPrefix(s, "@") {
		return "", &fault{
			summary: quote(s) + " is a Unix socket",
			hint:    "have systemd make it: a socket unit with ListenStream= (systemd.socket(5)) and Service=oauth-proxyd.service",
		}
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", listenHint(s, hint)
	}
	if !isPort(port, 0) {
		return "", &fault{summary: quote(port) + " is not a port", hint: "0 to 65535; 0 lets the kernel choose"}
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		return "", &fault{
			summary: quote(host) + " is not an IP address",
			hint:    `a name may change its address: write the address, "localhost" or nothing before the colon`,
		}
	}
	return s, nil
}

func listenHint(s, hint string) *fault {
	wrong := &fault{summary: quote(s) + " is not host:port", hint: hint}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	switch {
	case err == nil:
		wrong.summary = quote(s) + " has no port"
		wrong.hint = "write " + strconv.Quote(net.JoinHostPort(addr.String(), "8080"))
	case isPort(s, 0):
		wrong.summary = quote(s) + " has no colon"
		wrong.hint = "write " + strconv.Quote("127.0.0.1:"+s) + ", or " + strconv.Quote(":"+s) + " for every address"
	}
	return wrong
}
