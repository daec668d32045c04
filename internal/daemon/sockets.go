package daemon

import (
	"fmt"
	"net"
	"slices"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/systemd"
)

// ownListener is the name of the listener that this process opens itself, and of the
// socket of oauth-proxyd.socket.
const ownListener = "proxy"

// sockets are those that this process was started with. They do not change.
type sockets struct {
	inherited []inbound.Listener // systemd's, or those of the process before
	missing   string             // the unit that should have passed a socket and did not; empty: none
}

// inheritSockets takes over the sockets of the process that started this one to take over, or
// those of systemd.
func inheritSockets() (s sockets, before *systemd.Predecessor, err error) {
	before, err = systemd.InheritFromPredecessor()
	if err != nil {
		return s, nil, fmt.Errorf("succeeding another process: %w", err)
	}
	if before != nil {
		for _, l := range before.Listeners {
			s.inherited = append(s.inherited, inbound.Listener(l))
		}
		s.missing = systemd.SocketUnit(nil)
		return s, before, nil
	}
	passed, err := systemd.Listeners()
	if err != nil {
		return s, nil, fmt.Errorf("taking over systemd's sockets: %w", err)
	}
	for _, l := range passed {
		s.inherited = append(s.inherited, inbound.Listener(l))
	}
	s.missing = systemd.SocketUnit(passed)
	return s, nil, nil
}

// hasOthers reports whether sockets were passed, but none of oauth-proxyd.socket.
func (s sockets) hasOthers() bool {
	own := func(l inbound.Listener) bool { return l.Name == ownListener }
	return len(s.inherited) > 0 && !slices.ContainsFunc(s.inherited, own)
}

// onlyLocal reports whether the unit's socket is missing and only what this process opened itself
// is served: a load balancer and the tailnet do not get in.
func (s sockets) onlyLocal() bool { return s.missing != "" && !s.hasOthers() }

// trouble says that the unit's socket is missing, and how to fix it; empty: it is not.
func (s sockets) trouble(listenAddr string) string {
	switch {
	case s.missing == "":
		return ""
	case s.hasOthers():
		return fmt.Sprintf("systemd passed no socket named %q: %s is not there, or its FileDescriptorName= is another; see `systemctl status %s`",
			ownListener, s.missing, s.missing)
	}
	return fmt.Sprintf("systemd started this service without %s, so only %s (proxy.listen_addr) is served; "+
		"fix %s (`systemctl status %s` says what is wrong), then run `systemctl stop oauth-proxyd.service %s && systemctl start %s`",
		s.missing, listenAddr, s.missing, s.missing, s.missing, s.missing)
}

// listen gives the inherited sockets, or opens the configured address if there are none.
func (s sockets) listen(address string) ([]inbound.Listener, error) {
	if len(s.inherited) > 0 {
		return s.inherited, nil
	}
	l, err := net.Listen("tcp", address)
	return []inbound.Listener{{Name: ownListener, Listener: l}}, err
}

// check finds an upstream that is one of the sockets. What leads to them by another name of this
// host is found by the proxy, with the first request.
func (s sockets) check(p config.Proxy) error {
	for _, l := range s.inherited {
		if p.UpstreamIs(l.Addr().String()) {
			return fmt.Errorf("proxy.upstream_url %s is this daemon's own socket %q: requests would go round for ever", p.UpstreamURL, l.Name)
		}
	}
	return nil
}
