package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"oauth-proxyd/internal/kernel"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/ratelimit"
)

const (
	socketName   = "admin.sock" // in the runtime directory
	systemSocket = "/run/oauth-proxyd/" + socketName

	// serverName is the header Server of each response, which tells the daemon from any other
	// program.
	serverName = "oauth-proxyd"
	// silenceTimeout bounds the wait for the header of a response, which the daemon sends at once
	// even where the outcome takes longer.
	silenceTimeout = 5 * time.Second
	// outcomeTimeout bounds the wait for the whole response, which has the outcome of a reload or
	// an upgrade. systemd waits longer, and the daemon gives a new process half of it.
	outcomeTimeout = time.Minute
)

// NotRunningError means that nothing listens on the admin socket.
type NotRunningError struct {
	Socket string
	// OfSystem reports that this is the daemon of the package's unit, about which systemd may know
	// more.
	OfSystem bool
}

func (e *NotRunningError) Error() string {
	return "oauth-proxyd is not running, or its admin socket is not " + e.Socket
}

// SilentError says that the program on a socket did not respond in time.
type SilentError struct {
	Socket string
	PID    int // 0: not known
}

func (e *SilentError) Error() string {
	return fmt.Sprintf("the program on %s did not respond in time", e.Socket)
}

// Socket returns the path of the admin socket of a daemon that this user starts: in the first
// RuntimeDirectory= of its unit (systemd.exec(5)), in the packaged unit's for root, and in
// XDG_RUNTIME_DIR for another user.
func Socket() string {
	if dir, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":"); dir != "" {
		return filepath.Join(dir, socketName)
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && os.Geteuid() != 0 {
		return filepath.Join(dir, "oauth-proxyd", socketName)
	}
	return systemSocket
}

// Client sends commands to a running daemon. Each method returns a [NotRunningError] if there is
// none, and os.ErrPermission if this user must not use the socket. Another error says what else is
// there.
type Client struct {
	socket   string
	ofSystem bool
}

// NewClient returns a client of the system's daemon, or of the user's own if the system has none.
func NewClient() Client {
	if os.Getenv("RUNTIME_DIRECTORY") != "" {
		return Client{socket: Socket()}
	}
	if _, err := os.Stat(systemSocket); err == nil || errors.Is(err, os.ErrPermission) {
		return Client{socket: systemSocket, ofSystem: true}
	}
	return Client{socket: Socket(), ofSystem: true}
}

// At returns a client of the daemon with that admin socket.
func At(socket string) Client { return Client{socket: socket} }

// Status returns the state of the daemon.
func (c Client) Status(ctx context.Context) (Status, error) {
	return do[Status](ctx, c, http.MethodGet, "/status")
}

// Reload has the daemon reload its configuration, or say what a reload would do, and waits for the
// outcome.
func (c Client) Reload(ctx context.Context, dryRun bool) (ReloadOutcome, error) {
	path := "/reload"
	if dryRun {
		path += "/dry-run"
	}
	return do[ReloadOutcome](ctx, c, http.MethodPost, path)
}

// Upgrade has the daemon start the installed program in its place, and waits until that serves.
func (c Client) Upgrade(ctx context.Context) (UpgradeOutcome, error) {
	return do[UpgradeOutcome](ctx, c, http.MethodPost, "/upgrade")
}

// InFlight lists the requests in flight, the oldest first.
func (c Client) InFlight(ctx context.Context) ([]proxy.Trace, error) {
	return do[[]proxy.Trace](ctx, c, http.MethodGet, "/requests")
}

// Failures lists what the daemon remembers of the last requests that failed, the latest last.
func (c Client) Failures(ctx context.Context) ([]proxy.Trace, error) {
	return do[[]proxy.Trace](ctx, c, http.MethodGet, "/failures")
}

// Explain lists what the daemon remembers of the requests with that id, the latest last.
func (c Client) Explain(ctx context.Context, id string) ([]proxy.Trace, error) {
	return do[[]proxy.Trace](ctx, c, http.MethodGet, "/explain?id="+url.QueryEscape(id)) // in a path, ".." would lead elsewhere
}

// Limits lists the accounts behind the requests, the one with the latest response first.
func (c Client) Limits(ctx context.Context) ([]ratelimit.Account, error) {
	return do[[]ratelimit.Account](ctx, c, http.MethodGet, "/limits")
}

// ExpectProbe makes the daemon expect a probe with a nonce that the daemon chooses, so that no
// client can choose one that is in another client's request.
func (c Client) ExpectProbe(ctx context.Context) (nonce string, err error) {
	return do[string](ctx, c, http.MethodPost, "/probes")
}

// ProbeReport returns what became of the probe with that nonce.
func (c Client) ProbeReport(ctx context.Context, nonce string) (ProbeReport, error) {
	return do[ProbeReport](ctx, c, http.MethodGet, "/probes/"+url.PathEscape(nonce))
}

func do[Response any](ctx context.Context, c Client, method, path string) (response Response, err error) {
	ctx, cancel := context.WithTimeout(ctx, outcomeTimeout)
	defer cancel()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.socket)
		},
		ResponseHeaderTimeout: silenceTimeout,
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, method, "http://oauth-proxyd"+path, http.NoBody)
	if err != nil {
		return response, fmt.Errorf("making the command: %w", err)
	}
	request.Header.Set("User-Agent", caller())
	r, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return response, c.explain(err)
	}
	defer r.Body.Close() //nolint:errcheck // read to its end, or of no use
	if r.Header.Get("Server") != serverName {
		return response, c.explain(fmt.Errorf("no header %q", "Server: "+serverName))
	}
	if r.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(r.Body) // a part is better than nothing
		return response, fmt.Errorf("the daemon on %s refused the command: %s: %s", c.socket, r.Status, bytes.TrimSpace(text))
	}
	if err := json.NewDecoder(r.Body).Decode(&response); err != nil {
		return response, c.explain(err)
	}
	return response, nil
}

// explain says what is wrong with the socket, or with the program that has it.
func (c Client) explain(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the URL, which names no host
	}
	timeout, _ := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("connecting to %s: %w", c.socket, os.ErrPermission)
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ECONNREFUSED):
		return &NotRunningError{Socket: c.socket, OfSystem: c.ofSystem}
	case timeout != nil && timeout.Timeout():
		return &SilentError{c.socket, c.process()}
	}
	return fmt.Errorf("the program on %s did not respond as oauth-proxyd does: %w", c.socket, err)
}

// process returns the process that listens on the socket, or 0 if it is not known. The kernel
// connects to a process that is stopped, too.
func (c Client) process() int {
	conn, err := net.Dial("unix", c.socket)
	if err != nil {
		return 0
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	if peer, err := kernel.PeerCredentials(conn); err == nil {
		return int(peer.Pid)
	}
	return 0
}

// caller says who runs this program and by which process, for the daemon's log.
func caller() string {
	parent, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", os.Getppid())) // "" is "an unknown process"
	user := cmp.Or(os.Getenv("SUDO_USER"), os.Getenv("USER"), strconv.Itoa(os.Getuid()))
	said := user + " by " + cmp.Or(strings.TrimSpace(string(parent)), "an unknown process")
	return strings.Trim(strconv.QuoteToASCII(said), `"`)
}
