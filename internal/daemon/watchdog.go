package daemon

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/lifecycle"
)

const (
	probeTimeout = 5 * time.Second
	// probesLost in a row, each of a connection that was made and got no response, are proof that
	// the process does not serve.
	probesLost = 2
)

// watchdog decides whether systemd gets a sign of life (WATCHDOG=1, sd_notify(3)), by probing our
// own listener. It is the loop's own.
type watchdog struct {
	tick      <-chan time.Time // nil: the unit has no watchdog
	network   string           // of the addresses
	addresses []string         // where to probe: the first that accepts a connection
	probing   bool
	lost      int // probes in a row
}

func newWatchdog(interval time.Duration) (w watchdog) {
	if interval > 0 {
		w.tick = time.Tick(interval / 2)
	}
	return w
}

// watch names the listener to probe. The addresses of loopback need no resolver.
func (w *watchdog) watch(address net.Addr) {
	w.network, w.addresses = address.Network(), []string{address.String()}
	if tcp, ok := address.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		w.addresses = []string{fmt.Sprintf("127.0.0.1:%d", tcp.Port), fmt.Sprintf("[::1]:%d", tcp.Port)}
	}
}

// record counts the probes that were lost.
func (w *watchdog) record(lost bool) {
	w.probing = false
	w.lost++
	if !lost {
		w.lost = 0
	}
}

// pingWatchdog pings unless it is known that requests get no response, and begins the next probe.
func (d *daemon) pingWatchdog() {
	w, v := &d.watchdog, d.view()
	if !d.inCharge {
		return // the listener is another process's, and so are the signs of life
	}
	if w.lost < probesLost || v.state.Phase != lifecycle.Running {
		d.notify(d.notifier.Watchdog())
	} else {
		d.log.Error("our own listener does not respond; systemd's watchdog restarts the service", "probes", w.lost)
	}
	if v.state.Phase != lifecycle.Running || w.probing {
		return
	}
	w.probing = true
	network, addresses := w.network, w.addresses
	d.begin(func(ctx context.Context) {
		lost := isLost(ctx, v.server, network, addresses)
		d.send(nil, func() { w.record(lost) })
	})
}

// isLost reports whether a connection was made and no HTTP response of any status came. Failing to
// connect proves nothing of the kind. The bounds on connections are not for this one: strangers
// must not make the process look dead.
func isLost(ctx context.Context, server *inbound.Server, network string, addresses []string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	c := dialFirst(ctx, network, addresses)
	if c == nil {
		return false
	}
	defer c.Close() //nolint:errcheck // nothing is lost with it
	if tcp, ok := c.LocalAddr().(*net.TCPAddr); ok {
		server.Exempt(tcp.AddrPort(), true)
		defer server.Exempt(tcp.AddrPort(), false)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := fmt.Fprint(c, "GET /health HTTP/1.1\r\nHost: watchdog\r\nConnection: close\r\n\r\n"); err != nil {
		return true
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return true
	}
	_ = response.Body.Close()
	return false
}

// dialFirst connects to the first address that accepts; nil: none does.
func dialFirst(ctx context.Context, network string, addresses []string) net.Conn {
	for _, a := range addresses {
		if c, err := (&net.Dialer{}).DialContext(ctx, network, a); err == nil {
			return c
		}
	}
	return nil
}
