package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"oauth-proxyd/internal/admin"
)

// sockets returns those of the running daemon, or else those that systemd or the configuration has
// for it.
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

// port returns the port of the first TCP socket, or 0 if there is none.
func (x *facts) port() uint16 {
	for _, s := range x.sockets() {
		if s.Network == "tcp" {
			return portOf(s.Address)
		}
	}
	return 0
}

// portOf returns the port of a TCP address such as [::]:8080.
func portOf(address string) uint16 {
	_, text, _ := net.SplitHostPort(address)
	port, _ := strconv.ParseUint(text, 10, 16)
	return uint16(port)
}

func checkSockets(ctx context.Context, x *facts) []Finding {
	if x.daemon == nil && x.units.waits() {
		return []Finding{ok("%s", strings.Join(x.units.listening(), ", "))} // a connection would start the daemon
	}
	if x.daemon != nil && x.daemon.State != "running" {
		return nil // it has none; checkDaemon says so
	}
	if _, silent := errors.AsType[*admin.SilentError](x.daemonErr); silent {
		return nil // its sockets are not known, and checkDaemon says what to do
	}
	var findings []Finding
	for _, s := range x.sockets() {
		k := knock(ctx, s.Network, s.Address)
		x.responds = x.responds || k.ours
		if x.failed("systemd") && isClosed(k.err) {
			continue // that is why
		}
		findings = append(findings, x.judgeSocket(s, k))
	}
	return findings
}

func (x *facts) judgeSocket(s admin.SocketStatus, k knocked) Finding {
	where, service := fmt.Sprintf("%s (%s)", s.Address, s.Name), x.units.service.Active
	mayBeOurs := x.daemon != nil || !x.units.installed() || service == "active" || service == "deactivating"
	switch {
	case k.ours:
		return ok("%s responds in %s", where, milliseconds(k.took))
	case k.err != nil && errors.Is(x.daemonErr, os.ErrPermission): // it runs, and knows its sockets
		return unknown("could not connect to %s, but the daemon may have another socket", where).fix(asRoot)
	case isClosed(k.err):
		return fail("nothing listens on %s", where).fix(x.start())
	case errors.Is(k.err, os.ErrPermission):
		return unknown("this user may not connect to %s", where).fix(asRoot)
	case k.err != nil:
		return fail("could not connect to %s: %v", where, k.err).fix(x.start())
	case k.silent && mayBeOurs:
		return x.stuck(fail("%s accepts connections but does not respond", where))
	default:
		host, _, _ := net.SplitHostPort(s.Address)
		return fail("another program listens on %s", where).
			fix(whoHas(portOf(s.Address)), "stop that program, or choose another port:").
			fix(x.listenOn(net.JoinHostPort(host, "PORT"))...)
	}
}

// isClosed reports whether nothing listens on an address.
func isClosed(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist)
}

// knocked is the result of a request for /health at a socket.
type knocked struct {
	ours   bool  // oauth-proxyd responded
	silent bool  // it accepted the connection, and did not respond
	err    error // it could not be connected to
	took   time.Duration
}

const knockLimit = 3 * time.Second

func knock(ctx context.Context, network, address string) knocked {
	ctx, cancel := context.WithTimeout(ctx, knockLimit)
	defer cancel()
	began := time.Now()
	var d net.Dialer // it takes an unspecified address for this host
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return knocked{err: err}
	}
	defer c.Close()
	_ = c.SetDeadline(began.Add(knockLimit))                                       // the connection is open
	_, _ = io.WriteString(c, "GET /health HTTP/1.1\r\nHost: oauth-proxyd\r\n\r\n") // reading has the error, too
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return knocked{silent: errors.Is(err, os.ErrDeadlineExceeded)} // else it spoke, and not HTTP
	}
	defer response.Body.Close()
	return knocked{ours: strings.HasPrefix(response.Header.Get("X-Request-Id"), "req_"), took: time.Since(began)}
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

func checkDaemon(_ context.Context, x *facts) []Finding {
	down, isDown := errors.AsType[*admin.NotRunningError](x.daemonErr)
	switch s := x.daemon; {
	case errors.Is(x.daemonErr, os.ErrPermission):
		return []Finding{unknown("only root and the group oauth-proxyd may ask the daemon").fix(asRoot)}
	case isDown && x.units.waits() && x.units.service.Active != "inactive":
		return nil // checkUnits has said how it is
	case isDown && x.units.waits() && x.refused:
		return []Finding{fail("not running, and the first request cannot start it: %s has an error", x.File).fix("oauth-proxyd check --config " + x.File)}
	case isDown && x.units.waits():
		return []Finding{ok("not running; systemd starts it with the first request")}
	case isDown && x.responds:
		return []Finding{fail("the daemon responds on its port, but nothing listens on the admin socket %s", down.Socket).
			fix("oauth-proxyd doctor --socket FILE   # if it has another one; otherwise, have it open the socket again:").
			fix(x.openAgain(down.Socket)...)}
	case isDown && (x.failed("systemd") || x.failed("sockets")):
		return nil // that is why
	case s == nil && !isDown && x.pid() == 0:
		return []Finding{fail("%v", x.daemonErr).fix("oauth-proxyd doctor --socket FILE   # if the daemon has another admin socket", x.start())}
	case s == nil:
		return []Finding{x.stuck(fail("%v", x.daemonErr))}
	case s.Trouble != "":
		return []Finding{fail("%s", s.Trouble).fix("systemctl status "+socketUnit, reopen(socketUnit))}
	case s.Status == "draining":
		return []Finding{warn("process %d is draining: it accepts no new requests", s.PID).fix("oauth-proxyd status")}
	case s.State != "running":
		return []Finding{warn("process %d does not serve yet: state %s", s.PID, s.State).fix("oauth-proxyd status")}
	case s.Requests.Queued > 0:
		return []Finding{warn("%d of %d slots are in use, and %d requests wait", s.Requests.InFlight, s.Requests.InFlightLimit, s.Requests.Queued).
			fix("oauth-proxyd requests   # who has them?", "proxy.max_connections in "+x.File+", or max_connections_per_person")}
	}
	findings := []Finding{ok("process %d serves, version %s, since %s", x.daemon.PID, x.daemon.Version, x.daemon.StartedAt.Format("2006-01-02 15:04 MST"))}
	if x.daemon.Version != x.Version {
		replace := x.start()
		if x.units.installed() {
			replace = "oauth-proxyd upgrade   # hands over without cutting a stream"
		}
		findings = append(findings, warn("the daemon runs version %s, and version %s is installed", x.daemon.Version, x.Version).fix(replace))
	}
	return findings
}

// checkWarnings repeats the daemon's own warnings, except those that other checks report. It comes
// after the checks of the upstream. If any check has failed, the warnings are most likely its
// consequences.
func checkWarnings(_ context.Context, x *facts) []Finding {
	if x.daemon == nil || !x.report.OK {
		return nil
	}
	reported := []string{x.daemon.Trouble, x.daemon.Tailnet.Trouble, x.node.ExpiryWarning()}
	if x.settings != nil {
		reported = append(reported, x.settings.Warnings()...)
	}
	var findings []Finding
	for _, text := range x.daemon.Warnings {
		if slices.Contains(reported, text) || strings.HasPrefix(text, "tailscaled warns: ") {
			continue
		}
		fix := "oauth-proxyd status"
		seen, found := strings.CutSuffix(text, "; run `oauth-proxyd doctor`")
		if found {
			fix = x.whyFailing()
		}
		findings = append(findings, warn("%s", seen).fix(fix))
	}
	return findings
}

// whyFailing says what to do about requests that fail although no check does.
func (x *facts) whyFailing() string {
	const unlike = "this command can connect and the daemon could not: if its next request fails too, "
	switch {
	case !strings.HasPrefix(x.daemon.Requests.Cause, "upstream_connect"):
		return "the upstream responds to doctor's GET: run `oauth-proxyd explain ID` with the request_id of a failure, from the log or the client's error"
	case x.units.installed():
		return unlike + "see PrivateNetwork=, IPAddressDeny=, RestrictAddressFamilies= and LimitNOFILE= in `systemctl cat oauth-proxyd`"
	}
	return unlike + "make these checks where the daemon runs: in its container, or as its user"
}
