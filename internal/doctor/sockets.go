package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"oauth-proxyd/internal/admin"
)

// sockets are where requests should be taken: as the running daemon says, or as systemd or the
// configuration wants it.
func (x *facts) sockets() []admin.SocketStatus {
	if x.daemon != nil && len(x.daemon.Sockets) > 0 {
		return x.daemon.Sockets
	}
	var wanted []admin.SocketStatus
	for _, address := range x.units.socket.Listen {
		wanted = append(wanted, admin.SocketStatus{Name: "proxy", Network: "tcp", Address: address})
	}
	if len(wanted) == 0 && x.settings != nil {
		wanted = append(wanted, admin.SocketStatus{Name: "proxy", Network: "tcp", Address: x.settings.Proxy.ListenAddr})
	}
	return wanted
}

// port is that of the first TCP socket, 0 if there is none.
func (x *facts) port() uint16 {
	for _, s := range x.sockets() {
		if port := portOf(s); port != 0 {
			return port
		}
	}
	return 0
}

// portOf is the port of a TCP socket, 0 for another.
func portOf(s admin.SocketStatus) uint16 {
	_, text, err := net.SplitHostPort(s.Address)
	port, errPort := net.LookupPort("tcp", text)
	if s.Network != "tcp" || err != nil || errPort != nil {
		return 0
	}
	return uint16(port)
}

func checkSockets(ctx context.Context, x *facts) []Finding {
	if x.daemon == nil && x.units.waits() {
		return []Finding{ok("systemd listens on %s", strings.Join(x.units.socket.Listen, ", "))} // a connection would start it
	}
	var findings []Finding
	for _, s := range x.sockets() {
		findings = append(findings, x.judgeSocket(s, knock(ctx, s.Network, s.Address)))
	}
	return findings
}

func (x *facts) judgeSocket(s admin.SocketStatus, k knocked) Finding {
	where := fmt.Sprintf("%q, %s", s.Name, s.Address)
	switch {
	case k.ours:
		return ok("%s, responds in %s", where, milliseconds(k.took))
	case errors.Is(k.err, syscall.ECONNREFUSED), errors.Is(k.err, os.ErrNotExist):
		return fail("nothing listens on %s%s", where, x.butRuns()).fix(x.start())
	case errors.Is(k.err, os.ErrPermission):
		return unknown("this user may not connect to %s", where).fix("sudo oauth-proxyd doctor")
	case k.err != nil:
		return fail("%s cannot be reached: %v", where, k.err).fix(x.start())
	case k.silent && (x.daemon != nil || x.units.mayServe()):
		return fail("%s accepts connections but does not respond", where).fix(x.restart()).fix(x.journal()...)
	default:
		f := fail("%s is served by another program than oauth-proxyd", where).fix(whoHas(portOf(s)), "stop that program, or choose another port:")
		return f.fix(x.listenOn("9000")...)
	}
}

// butRuns goes on where nothing listens.
func (x *facts) butRuns() string {
	if errors.Is(x.daemonErr, admin.ErrNotRunning) {
		return ": the daemon is not running"
	}
	return ""
}

// knocked is what came of asking a socket for /health.
type knocked struct {
	ours   bool
	silent bool // connected, and no response came
	took   time.Duration
	err    error
}

const knockLimit = 3 * time.Second

// knock asks for /health, on loopback if the socket is on every address.
func knock(ctx context.Context, network, address string) knocked {
	ctx, cancel := context.WithTimeout(ctx, knockLimit)
	defer cancel()
	began := time.Now()
	c, err := dialAny(ctx, network, onLoopback(address))
	if err != nil {
		return knocked{err: err}
	}
	defer c.Close()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }, DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://oauth-proxyd/health", http.NoBody)
	if err != nil {
		return knocked{err: err}
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return knocked{silent: ctx.Err() != nil, took: time.Since(began)} // no HTTP: another program
	}
	defer response.Body.Close()
	return knocked{ours: isOurs(response), took: time.Since(began)}
}

// dialAny gives the first connection that succeeds, and else the first error.
func dialAny(ctx context.Context, network string, addresses []string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, addresses[0])
	if err != nil && len(addresses) > 1 {
		if c, errNext := dialAny(ctx, network, addresses[1:]); errNext == nil {
			return c, nil
		}
	}
	return c, err
}

// isOurs recognizes our /health by fields that no other program has together.
func isOurs(response *http.Response) bool {
	var health struct {
		Status string `json:"status"`
	}
	err := json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&health)
	return err == nil && strings.HasPrefix(response.Header.Get("X-Request-Id"), "req_") &&
		(health.Status == "healthy" || health.Status == "degraded" || health.Status == "draining")
}

// onLoopback are the addresses at which a socket is reached on this host. A name would need
// /etc/hosts.
func onLoopback(address string) []string {
	host, port, err := net.SplitHostPort(address)
	if addr, errAddr := netip.ParseAddr(host); err == nil && (host == "" || errAddr == nil && addr.IsUnspecified()) {
		return []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}
	}
	return []string{address}
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

func checkDaemon(_ context.Context, x *facts) []Finding {
	switch s := x.daemon; {
	case errors.Is(x.daemonErr, os.ErrPermission):
		return []Finding{unknown("this user may not ask the daemon").fix("sudo oauth-proxyd doctor   # or as a member of the group oauth-proxyd")}
	case errors.Is(x.daemonErr, admin.ErrNotRunning) && x.units.waits():
		return x.idle()
	case errors.Is(x.daemonErr, admin.ErrNotRunning):
		return []Finding{fail("%v", x.daemonErr).fix(x.start()).fix(x.journal()...)}
	case s == nil:
		return []Finding{fail("%v", x.daemonErr).fix(x.restart())}
	case s.Trouble != "":
		return []Finding{fail("%s", s.Trouble).fix("systemctl status "+socketUnit, reopen(socketUnit))}
	case s.Status == "draining":
		return []Finding{warn("process %d is draining: it takes no new requests", s.PID).fix("oauth-proxyd status")}
	case s.State != "running":
		return []Finding{warn("process %d is not serving yet: state %s", s.PID, s.State).fix("oauth-proxyd status")}
	case s.Requests.Queued > 0:
		return []Finding{warn("%d of %d requests are in flight and %d wait", s.Requests.InFlight, s.Limits.MaxConnections, s.Requests.Queued).
			fix("proxy.max_connections in " + x.File)}
	}
	return x.daemonRuns()
}

// idle is about a daemon that systemd starts for the first client.
func (x *facts) idle() []Finding {
	switch {
	case x.units.service.Active != "inactive":
		return nil // checkUnits has said how it is
	case x.refused:
		return []Finding{fail("not running, and the first request cannot start it: %s is refused", x.File).fix("oauth-proxyd check --config " + x.File)}
	}
	return []Finding{ok("not running; systemd starts it with the first request")}
}

func (x *facts) daemonRuns() []Finding {
	s := x.daemon
	findings := []Finding{ok("process %d serves, version %s, since %s", s.PID, s.Version, s.StartedAt.Format("2006-01-02 15:04 MST"))}
	if s.Version != x.Version {
		findings = append(findings, warn("the daemon is version %s, this program %s", s.Version, x.Version).fix("oauth-proxyd upgrade   # hands over without cutting a stream"))
	}
	return findings
}

// checkWarnings repeats those warnings of the daemon that no other check makes.
func checkWarnings(_ context.Context, x *facts) []Finding {
	if x.daemon == nil {
		return nil
	}
	said := []string{x.daemon.Trouble, x.daemon.Tailnet.Trouble, x.node.ExpiryWarning(time.Now())}
	if x.settings != nil {
		said = append(said, x.settings.Warnings()...)
	}
	var findings []Finding
	for _, text := range x.daemon.Warnings {
		if slices.Contains(said, text) || strings.HasPrefix(text, "tailscaled warns: ") {
			continue
		}
		f := warn("%s", text)
		if i := strings.LastIndex(text, "; "); i > 0 {
			f = warn("%s", text[:i]).fix(text[i+2:])
		}
		findings = append(findings, f)
	}
	return findings
}
