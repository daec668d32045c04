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
	l, err := listenAdmin(d.options.AdminSocket)
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
	mux.HandleFunc("GET /requests", d.adminRequests)
	mux.HandleFunc("GET /requests/{id}", d.adminExplain)
	return mux
}

// listenAdmin makes the socket, also over one that a killed process left. One that
// is answered belongs to another daemon and is left alone.
func listenAdmin(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the directory of the admin socket: %w", err)
	}
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("%s is in use by another daemon", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing a stale admin socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("opening the admin socket: %w", err)
	}
	if err := os.Chmod(path, adminMode); err != nil {
		_ = l.Close()
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
		writeOutcome(w, Outcome{Error: "the daemon is stopping"})
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

// close lets answers under way be written, and removes the socket.
func (a *adminServer) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if a.http.Shutdown(ctx) != nil {
		_ = a.http.Close()
	}
	<-a.done
}
