package admin

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// ErrNotRunning means that nothing listens on the admin socket.
var ErrNotRunning = errors.New("oauth-proxyd is not running, or its admin socket is somewhere else")

const (
	socketName   = "admin.sock" // in the runtime directory
	systemSocket = "/run/oauth-proxyd/" + socketName

	// serverName is the header Server of each response, which tells the daemon from any other
	// program.
	serverName = "oauth-proxyd"
	// firstByteTimeout bounds the wait for the header of a response, which the daemon sends at once
	// even where the outcome takes longer. It bounds the rest of the body, too, once that begins.
	firstByteTimeout = 5 * time.Second
	maxResponse      = 16 << 20 // bytes; thousands of requests
	maxErrorText     = 1 << 10  // bytes
)

// NotRunningError is the [ErrNotRunning] of one socket.
type NotRunningError struct {
	Socket string
	// Systems reports that this is the daemon of the package's unit, about which systemd may know
	// more.
	Systems bool
}

// Error implements error.
func (e *NotRunningError) Error() string { return fmt.Sprintf("%v (%s)", ErrNotRunning, e.Socket) }

// Unwrap gives ErrNotRunning.
func (*NotRunningError) Unwrap() error { return ErrNotRunning }

// SilentError says that the program on a socket did not respond in time.
type SilentError struct {
	Socket string
	PID    int // 0: not known
}

// Error implements error.
func (e *SilentError) Error() string {
	return fmt.Sprintf("the program on %s did not respond in time", e.Socket)
}

// Socket returns the path of the admin socket of a daemon that this user starts: in the
// RuntimeDirectory= of its unit (systemd.exec(5)), in the packaged unit's for root, and in
// XDG_RUNTIME_DIR for another user.
func Socket() string {
	if dir := os.Getenv("RUNTIME_DIRECTORY"); dir != "" {
		return filepath.Join(dir, socketName)
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && os.Geteuid() != 0 {
		return filepath.Join(dir, "oauth-proxyd", socketName)
	}
	return systemSocket
}

// Client sends commands to a running daemon. Each method returns [ErrNotRunning] if there is none,
// and os.ErrPermission if this user must not use the socket. Another error says what else is there.
type Client struct {
	socket  string
	systems bool
}

// NewClient returns a client of the system's daemon, or of the user's own if the system has none.
func NewClient() Client {
	if os.Getenv("RUNTIME_DIRECTORY") != "" {
		return Client{socket: Socket()}
	}
	if _, err := os.Stat(systemSocket); err == nil || errors.Is(err, os.ErrPermission) {
		return Client{systemSocket, true}
	}
	return Client{Socket(), true}
}

// At returns a client of the daemon with that admin socket.
func At(socket string) Client { return Client{socket: socket} }

// Status returns the state of the daemon.
func (c Client) Status(ctx context.Context) (Status, error) {
	s, err := do[Status](ctx, c, http.MethodGet, "/status")
	return s, c.complete(err, s.State != "" || s.PID != 0)
}

// Reload has the daemon reload its configuration, or say what a reload would do, and waits for the
// outcome.
func (c Client) Reload(ctx context.Context, dryRun bool) (ReloadOutcome, error) {
	path := "/reload"
	if dryRun {
		path += "/dry-run"
	}
	o, err := do[ReloadOutcome](ctx, c, http.MethodPost, path)
	return o, c.complete(err, o.Refused() || o.Changes != nil && (dryRun || o.Applied))
}

// Upgrade has the daemon start the installed program in its place, and waits until that serves.
func (c Client) Upgrade(ctx context.Context) (UpgradeOutcome, error) {
	o, err := do[UpgradeOutcome](ctx, c, http.MethodPost, "/upgrade")
	return o, c.complete(err, o.PID != 0 || o.Error != "")
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
	return do[[]proxy.Trace](ctx, c, http.MethodGet, "/requests/"+url.PathEscape(id))
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

// do sends one request and decodes the response.
func do[Response any](ctx context.Context, c Client, method, path string) (response Response, err error) {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.socket)
		},
		ResponseHeaderTimeout: firstByteTimeout,
	}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
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
		return response, c.foreign(fmt.Errorf("its response has no header %q", "Server: "+serverName))
	}
	body := bufio.NewReader(http.MaxBytesReader(nil, r.Body, maxResponse))
	_, _ = body.Peek(1) // the outcome may take long, but the rest comes at once; Decode gets the error
	defer time.AfterFunc(firstByteTimeout, func() { cancel(os.ErrDeadlineExceeded) }).Stop()
	if r.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(body, maxErrorText)) // a part is better than nothing
		return response, fmt.Errorf("the daemon on %s refused the command: %s: %s", c.socket, r.Status, bytes.TrimSpace(text))
	}
	err = json.NewDecoder(body).Decode(&response)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return response, fmt.Errorf("the response on %s is larger than %d MiB", c.socket, maxResponse>>20)
	}
	if err != nil {
		return response, c.explain(fmt.Errorf("reading the response: %w", err))
	}
	return response, nil
}

// complete returns an error for a response that lacks what each daemon sends.
func (c Client) complete(err error, isComplete bool) error {
	if err == nil && !isComplete {
		return c.foreign(errors.New("its response is incomplete"))
	}
	return err
}

// explain says what is wrong with the socket, or with the program that has it.
func (c Client) explain(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the URL, which names no host
	}
	timeout, _ := errors.AsType[net.Error](err)
	info, _ := os.Stat(c.socket)
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("connecting to %s: %w", c.socket, os.ErrPermission)
	case info != nil && info.Mode().Type() != fs.ModeSocket:
		return c.foreign(errors.New("it is not a socket"))
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ECONNREFUSED):
		return &NotRunningError{Socket: c.socket, Systems: c.systems}
	case errors.Is(err, syscall.EAGAIN): // connect(2) on a Unix socket
		return fmt.Errorf("the program on %s does not accept connections: its queue is full", c.socket)
	case timeout != nil && timeout.Timeout():
		return &SilentError{c.socket, c.process()}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("the program on %s closed the connection before it had responded", c.socket)
	}
	return c.foreign(err)
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

func (c Client) foreign(why error) error {
	return fmt.Errorf("%s is not an admin socket of oauth-proxyd: %w", c.socket, why)
}

// caller says who runs this program and by which process, for the daemon's log.
func caller() string {
	parent, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", os.Getppid())) // of no importance
	user := cmp.Or(os.Getenv("SUDO_USER"), os.Getenv("USER"), strconv.Itoa(os.Getuid()))
	said := user + " by " + cmp.Or(strings.TrimSpace(string(parent)), "an unknown process")
	return strings.Trim(strconv.QuoteToASCII(said), `"`)
}
