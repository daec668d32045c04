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
	// probesLost is how many probes in a row prove that the process does not serve.
	probesLost = 2
)

// watchdog decides whether systemd gets a ping (WATCHDOG=1, sd_notify(3)), by probing our own
// listener. Only the loop uses it.
type watchdog struct {
	tick    <-chan time.Time // nil: the unit has no watchdog
	probing bool
	lost    int // probes in a row
}

func (w *watchdog) record(lost bool) {
	w.probing = false
	w.lost++
	if !lost {
		w.lost = 0
	}
}

// pingWatchdog pings unless our listener is known not to respond, and begins the next probe.
func (d *daemon) pingWatchdog() {
	w, v := &d.watchdog, d.view()
	if d.role != inCharge {
		return // another process pings
	}
	if w.lost < probesLost || v.state.Phase != lifecycle.Running {
		d.notify("WATCHDOG=1")
	} else {
		d.log.Error("our own listener does not respond; systemd's watchdog restarts the service", "probes", w.lost)
	}
	if v.state.Phase != lifecycle.Running || w.probing {
		return
	}
	w.probing = true
	d.inBackground(func(ctx context.Context) {
		lost := isLost(ctx, v.server, v.serving[0].Addr())
		d.inLoop(func() { w.record(lost) })
	})
}

// isLost reports whether a connection was made and no HTTP response of any status came. Failing to
// connect proves nothing. The probe is exempt from the bounds on connections, so that strangers
// cannot make the process look dead.
func isLost(ctx context.Context, server *inbound.Server, address net.Addr) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	// An unspecified address is dialed on loopback.
	c, err := new(net.Dialer).DialContext(ctx, address.Network(), address.String())
	if err != nil {
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
