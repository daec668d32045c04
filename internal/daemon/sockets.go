package daemon

import (
	"fmt"
	"net"
	"slices"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/systemd"
)

// ownListener is the name of the socket of oauth-proxyd.socket, and of the listener that this
// process opens without one.
const ownListener = "proxy"

// sockets are the sockets that this process was started with. They do not change.
type sockets struct{ systemd.Inheritance }

func (s sockets) names() (names []string) {
	for _, l := range s.Listeners {
		names = append(names, l.Name)
	}
	if len(names) == 0 {
		return []string{ownListener}
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

// onlyLocal reports whether the unit's socket is missing and this process serves only its own
// listener, which neither a load balancer nor the tailnet reaches.
func (s sockets) onlyLocal() bool { return s.MissingUnit != "" && !s.hasOthers() }

// hasOthers reports whether other sockets were passed, but not that of oauth-proxyd.socket. After
// an upgrade, the listener of this process itself is passed under its name.
func (s sockets) hasOthers() bool {
	own := func(l systemd.Listener) bool { return l.Name == ownListener }
	return len(s.Listeners) > 0 && !slices.ContainsFunc(s.Listeners, own)
}

// trouble says that the unit's socket is missing, and how to fix it. It is empty otherwise.
func (s sockets) trouble(listenAddr string) string {
	switch {
	case s.MissingUnit == "":
		return ""
	case s.hasOthers():
		return fmt.Sprintf("systemd passed no socket named %q: %s is missing, or its FileDescriptorName= differs; see `systemctl status %s`",
			ownListener, s.MissingUnit, s.MissingUnit)
	}
	return fmt.Sprintf("systemd started this service without %s, so only %s (proxy.listen_addr) is served; "+
		"fix %s (`systemctl status %s` says what is wrong), then run `systemctl stop oauth-proxyd.service %s && systemctl start %s`",
		s.MissingUnit, listenAddr, s.MissingUnit, s.MissingUnit, s.MissingUnit, s.MissingUnit)
}

// listen returns the sockets that were passed, or opens the configured address if there are none.
func (s sockets) listen(address string) ([]systemd.Listener, error) {
	if len(s.Listeners) > 0 {
		return s.Listeners, nil
	}
	l, err := net.Listen("tcp", address)
	return []systemd.Listener{{Name: ownListener, Listener: l}}, err
}

// check refuses an upstream that is one of the sockets. If the upstream leads to them under another
// name of this host, the proxy refuses the first request.
func (s sockets) check(p config.Proxy) error {
	for _, l := range s.Listeners {
		if p.UpstreamIs(l.Addr().String()) {
			return fmt.Errorf("proxy.upstream_url %s is this daemon's own socket %q: requests would loop forever", p.UpstreamURL, l.Name)
		}
	}
	return nil
}
