package daemon

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/lifecycle"
)

// ownListener is the name of the listener that this process opens itself, and of the
// socket of oauth-proxyd.socket.
const ownListener = "proxy"

// startListeners takes systemd's sockets, or opens the configured address.
func (d *daemon) startListeners() {
	d.listeners = d.inherited
	if trouble := d.socketTrouble(); trouble != "" {
		d.log.Error(trouble)
	}
	if len(d.listeners) == 0 {
		address := d.view.config().Proxy.ListenAddr
		l, err := net.Listen("tcp", address)
		if err != nil {
			d.log.Error("proxy.listen_addr cannot be used; another program may have the port", "address", address, "error", err)
			d.later(lifecycle.ListenerFailed{})
			return
		}
		d.listeners = []inbound.Listener{{Name: ownListener, Listener: l}}
	}
	d.watchdog.watch(d.listeners)
	d.later(lifecycle.ListenersReady{})
}

// isOwnSocket reports whether the upstream is a socket of ours, as far as that can be
// told without asking the DNS.
func isOwnSocket(p config.Proxy, socket net.Addr) bool {
	tcp, ok := socket.(*net.TCPAddr)
	if !ok {
		return false
	}
	return slices.ContainsFunc(namesOf(tcp), p.UpstreamIs)
}

// namesOf are the addresses under which a socket is reached on this host.
func namesOf(tcp *net.TCPAddr) []string {
	names := []string{tcp.String()}
	if !tcp.IP.IsUnspecified() {
		return names
	}
	port := strconv.Itoa(tcp.Port)
	if host, err := os.Hostname(); err == nil {
		names = append(names, net.JoinHostPort(host, port))
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return names // what can be told without them
	}
	for _, a := range own {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			names = append(names, net.JoinHostPort(prefix.Addr().String(), port))
		}
	}
	return names
}
