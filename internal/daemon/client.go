package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
)

// ErrNotRunning means that no daemon answers on the admin socket.
var ErrNotRunning = errors.New("oauth-proxyd is not running, or its admin socket is somewhere else")

// adminSocketName is the file in the runtime directory.
const adminSocketName = "admin.sock"

// AdminSocket is where a daemon makes its admin socket: in the RuntimeDirectory= of
// its unit (systemd.exec(5)), which is also the default of a daemon that root
// starts by hand; of another user in XDG_RUNTIME_DIR.
func AdminSocket() string {
	if dir := os.Getenv("RUNTIME_DIRECTORY"); dir != "" {
		return filepath.Join(dir, adminSocketName)
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && os.Geteuid() != 0 {
		return filepath.Join(dir, "oauth-proxyd", adminSocketName)
	}
	return systemAdminSocket
}

const systemAdminSocket = "/run/oauth-proxyd/" + adminSocketName

// findAdminSocket prefers the system's daemon to one of the user's own.
func findAdminSocket() string {
	if os.Getenv("RUNTIME_DIRECTORY") != "" {
		return AdminSocket()
	}
	if _, err := os.Stat(systemAdminSocket); err == nil || errors.Is(err, os.ErrPermission) {
		return systemAdminSocket
	}
	return AdminSocket()
}

// RequestReload has the running daemon reload, or say what a reload would do, and
// waits for the outcome. The error is [ErrNotRunning], or a permission that is
// missing (os.ErrPermission).
func RequestReload(ctx context.Context, dryRun bool) (Outcome, error) {
	path := "/reload"
	if dryRun {
		path += "/dry-run"
	}
	var o Outcome
	err := askAdmin(ctx, http.MethodPost, path, &o)
	return o, err
}

// RequestStatusReport asks the running daemon how it is. Errors are as those of
// [RequestReload].
func RequestStatusReport(ctx context.Context) (Status, error) {
	var s Status
	err := askAdmin(ctx, http.MethodGet, "/status", &s)
	return s, err
}

// ExpectProbe makes the running daemon expect a probe with the nonce that it returns.
func ExpectProbe(ctx context.Context) (nonce string, err error) {
	var ticket ProbeTicket
	err = askAdmin(ctx, http.MethodPost, "/probes", &ticket)
	return ticket.Nonce, err
}

// RequestProbeReport asks what became of the probe with that nonce.
func RequestProbeReport(ctx context.Context, nonce string) (r ProbeReport, err error) {
	err = askAdmin(ctx, http.MethodGet, "/probes/"+url.PathEscape(nonce), &r)
	return r, err
}

// RequestUpgrade has the running daemon start the installed program in its place, and
// waits until that serves. Errors are as those of [RequestReload].
func RequestUpgrade(ctx context.Context) (UpgradeOutcome, error) {
	var o UpgradeOutcome
	err := askAdmin(ctx, http.MethodPost, "/upgrade", &o)
	return o, err
}

// askAdmin sends a request and reads the response, which is JSON.
func askAdmin(ctx context.Context, method, path string, answer any) error {
	socket := findAdminSocket()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, method, "http://oauth-proxyd"+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("asking the daemon: %w", err)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("connecting to %s: %w", socket, os.ErrPermission)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the daemon on %s gave no answer in time", socket)
	case err != nil:
		return fmt.Errorf("%w (%s)", ErrNotRunning, socket)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end, or of no use
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the daemon on %s does not know this command: %s", socket, response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return fmt.Errorf("reading the daemon's answer: %w", err)
	}
	return nil
}
