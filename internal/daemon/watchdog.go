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
	// probesLost in a row, each of a connection that was made and not answered, are
	// proof that the process serves no more.
	probesLost = 2
)

// probeResult is what a request to our own listener came to.
type probeResult struct{ lost bool }

// watchdog decides whether systemd is told that we live (WATCHDOG=1, sd_notify(3)).
type watchdog struct {
	interval time.Duration // 0: systemd did not ask
	ticker   *time.Ticker  // nil then
	network  string        // where to probe
	address  string
	probing  bool
	lost     int // probes in a row
}

func newWatchdog(interval time.Duration) watchdog {
	if interval <= 0 {
		return watchdog{}
	}
	return watchdog{ticker: time.NewTicker(interval / 2), interval: interval}
}

func (w *watchdog) ticks() <-chan time.Time {
	if w.ticker == nil {
		return nil
	}
	return w.ticker.C
}

func (w *watchdog) stop() {
	if w.ticker != nil {
		w.ticker.Stop()
	}
}

// watch names the listener to probe.
func (w *watchdog) watch(listeners []inbound.Listener) {
	address := listeners[0].Addr()
	w.network, w.address = address.Network(), address.String()
	if tcp, ok := address.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		// An unspecified address connects to loopback, but not on every system
		// when it is IPv6.
		w.address = fmt.Sprintf("localhost:%d", tcp.Port)
	}
}

func (w *watchdog) note(r probeResult) {
	w.probing = false
	if r.lost {
		w.lost++
	} else {
		w.lost = 0
	}
}

// pingWatchdog pings unless it is known that requests get no answer, and begins the
// next probe.
func (d *daemon) pingWatchdog() {
	w := &d.watchdog
	if w.lost < probesLost || d.state.Phase != lifecycle.Running {
		d.told(d.notifier.Watchdog())
	} else {
		d.log.Error("our own listener gives no answer; leaving it to systemd's watchdog to start anew", "probes", w.lost)
	}
	if d.state.Phase != lifecycle.Running || w.probing {
		return
	}
	w.probing = true
	network, address, server := w.network, w.address, d.server
	d.begin(func(ctx context.Context) {
		d.send(message{probe: &probeResult{lost: isUnanswered(ctx, server, network, address)}})
	})
}

// isUnanswered reports whether a connection was made and no HTTP response of any status
// came. Failing to connect proves nothing of the kind. The bounds on connections are not for
// this one: strangers must not make the process look dead.
func isUnanswered(ctx context.Context, server *inbound.Server, network, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return false
	}
	defer c.Close() //nolint:errcheck // nothing is lost with it
	if tcp, ok := c.LocalAddr().(*net.TCPAddr); ok {
		server.Spare(tcp.AddrPort(), true)
		defer server.Spare(tcp.AddrPort(), false)
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
