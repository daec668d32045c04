package daemon

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/proxy"
)

// handler responds to /health, /metrics and the probes of "oauth-proxyd doctor", which no limit or
// queue of the proxy delays. The proxy handles all other requests.
func (d *daemon) handler(p *proxy.Proxy) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		read := r.Method == http.MethodGet || r.Method == http.MethodHead
		path := r.URL.EscapedPath() // another spelling is another path
		switch {
		case read && path == "/health":
			inbound.LeaveBody(w, r)
			d.serveHealth(p, w, r)
		case read && path == "/metrics":
			inbound.LeaveBody(w, r)
			d.serveMetrics(p, w, r)
		case d.serveProbe(p, w, r):
		default:
			p.ServeHTTP(w, r)
		}
	})
}

// serveMetrics responds to clients that metrics.allow admits, and refuses a web page that comes
// under another name.
func (d *daemon) serveMetrics(p *proxy.Proxy, w http.ResponseWriter, r *http.Request) {
	_, err := p.Judge(r, d.view().config.Metrics.Allow)
	if err == nil && !d.namesThisNode(r) {
		err = proxy.Refusal(proxy.CodeBrowserRefused, "the Host header does not name this node, as in a request from a web page; use an address, localhost, or the node's own name")
	}
	if err == nil {
		err = d.metrics.serve(w, r)
	}
	if err != nil {
		p.Refuse(w, r, err)
	}
}

// namesThisNode reports whether the Host of a request is an address, localhost, or a name of this
// node. A web page can point its own name at this host (DNS rebinding) and read the response, but
// its browser then sends that name as the Host. No browser uses a Unix socket or sends no Host.
func (d *daemon) namesThisNode(r *http.Request) bool {
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
	hostname, _ := os.Hostname()
	for _, name := range []string{"localhost", hostname, d.view().tailscaled.Name} {
		short, _, _ := strings.Cut(name, ".")
		if name != "" && (strings.EqualFold(host, name) || strings.EqualFold(host, short)) {
			return true
		}
	}
	return false
}
