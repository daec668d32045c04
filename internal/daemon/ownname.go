package daemon

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// asksByOwnName reports whether a request names this node in its Host: by an address, as
// localhost, or by one of its names. A web page can have its own name lead to this host (DNS
// rebinding) and read what it is told, but cannot make its browser send another Host. No browser
// comes by a Unix socket, or without a Host.
func (d *daemon) asksByOwnName(r *http.Request) bool {
	if _, err := netip.ParseAddrPort(r.RemoteAddr); err != nil || r.Host == "" {
		return true
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	for _, own := range d.ownNames() {
		short, _, _ := strings.Cut(own, ".")
		if own != "" && (strings.EqualFold(host, own) || strings.EqualFold(host, short)) {
			return true
		}
	}
	return false
}

// ownNames are the names of this node, in full where it has one.
func (d *daemon) ownNames() []string {
	names := []string{"localhost"}
	if name, err := os.Hostname(); err == nil {
		names = append(names, name)
	}
	if s := d.view.answered.Load(); s != nil {
		names = append(names, s.Name)
	}
	return names
}
