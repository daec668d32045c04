package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/lifecycle"
)

const (
	adminMode    = 0o660 // the owner and the group of the socket may command
	adminTimeout = 10 * time.Second
)

// adminServer answers the commands of an administrator on a Unix socket.
type adminServer struct {
	http *http.Server
	done chan struct{}
}

// startAdmin opens the admin socket. Without one the daemon serves all the same: only
// the commands that use it do not work.
func (d *daemon) startAdmin() {
	if d.options.AdminSocket == "" {
		return
	}
	l, err := listenAdmin(d.options.AdminSocket, d.predecessor != nil)
	if err != nil {
		d.log.Warn("no admin socket: reload with SIGHUP", "error", err)
		return
	}
	d.admin = &adminServer{http: &http.Server{Handler: d.adminCommands(), ReadHeaderTimeout: adminTimeout}, done: make(chan struct{})}
	d.work.Go(func() {
		defer close(d.admin.done)
		if err := d.admin.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("the admin socket failed", "error", err)
		}
	})
}

// adminCommands is all that an administrator can ask for.
func (d *daemon) adminCommands() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reload", d.adminReload)
	mux.HandleFunc("POST /reload/dry-run", func(w http.ResponseWriter, _ *http.Request) {
		writeOutcome(w, d.tryReload())
	})
	mux.HandleFunc("GET /status", d.adminStatus)
	mux.HandleFunc("POST /probes", d.adminExpectProbe)
	mux.HandleFunc("GET /probes/{nonce}", d.adminProbeReport)
	mux.HandleFunc("POST /upgrade", d.adminUpgrade)
	mux.HandleFunc("GET /requests", d.adminRequests)
	mux.HandleFunc("GET /requests/{id}", d.adminExplain)
	return mux
}

// listenAdmin makes the socket, also over one that a killed process left. One that
// is answered belongs to another daemon and is left alone, unless that is the process
// that we succeed. The socket is made beside its place and moved there, so that at no
// time there is none.
func listenAdmin(path string, succeeds bool) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the directory of the admin socket: %w", err)
	}
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		if !succeeds {
			return nil, fmt.Errorf("%s is in use by another daemon", path)
		}
	}
	beside := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Remove(beside); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing a stale admin socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: beside, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("opening the admin socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // by then the name may be another's
	if err := errors.Join(os.Chmod(beside, adminMode), os.Rename(beside, path)); err != nil {
		_ = l.Close()
		_ = os.Remove(beside)
		return nil, fmt.Errorf("opening the admin socket: %w", err)
	}
	return l, nil
}

// adminReload waits for the outcome: what systemctl reload reports is the truth.
func (d *daemon) adminReload(w http.ResponseWriter, r *http.Request) {
	outcome := make(chan Outcome, 1)
	d.send(message{event: lifecycle.ReloadRequested{}, waiter: outcome})
	select {
	case o := <-outcome:
		writeOutcome(w, o)
	case <-d.done:
		writeOutcome(w, Outcome{Error: stoppingText})
	case <-r.Context().Done():
	}
}

// adminUpgrade waits until the new process serves, or it is certain that it will not.
func (d *daemon) adminUpgrade(w http.ResponseWriter, r *http.Request) {
	outcome := make(chan UpgradeOutcome, 1)
	d.send(message{event: lifecycle.UpgradeRequested{}, upgrader: outcome})
	select {
	case o := <-outcome:
		writeJSON(w, o)
	case <-d.done:
		writeJSON(w, UpgradeOutcome{Error: stoppingText})
	case <-r.Context().Done():
	}
}

func writeOutcome(w http.ResponseWriter, o Outcome) {
	if o.Changes == nil {
		o.Changes = []config.Change{} // a list in JSON too
	}
	writeJSON(w, o)
}

func writeJSON(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a client that left is nobody to tell
}

// close lets answers under way be written. The name of the socket stays.
func (a *adminServer) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if a.http.Shutdown(ctx) != nil {
		_ = a.http.Close()
	}
	<-a.done
}
