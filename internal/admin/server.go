package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/proxy"
)

const (
	socketMode    = 0o660 // the owner and the group of the socket may send commands
	headerTimeout = 10 * time.Second
	closeTimeout  = time.Second // for responses under way
)

// Commands are what the server calls for each command, from its own goroutines.
type Commands struct {
	Status func() Status
	// Reload and Upgrade return when the outcome is known, or with any value when the client has
	// left.
	Reload  func(ctx context.Context) ReloadOutcome
	DryRun  func() ReloadOutcome
	Upgrade func(ctx context.Context) UpgradeOutcome

	InFlight func() []proxy.Trace
	Explain  func(id string) []proxy.Trace

	ExpectProbe func() (nonce string, err error)
	ProbeReport func(nonce string) (r ProbeReport, ok bool)
}

// Server responds to a [Client].
type Server struct {
	http *http.Server
	done chan struct{}
}

// Listen makes the socket, also in place of one that a killed process left. A socket on which
// somebody responds belongs to another daemon: that is an error, unless this process succeeds it.
// The socket is made under another name and renamed, so that there is one at any time.
func Listen(path string, succeeds bool) (net.Listener, error) {
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
	if err := errors.Join(os.Chmod(beside, socketMode), os.Rename(beside, path)); err != nil {
		_ = l.Close()
		_ = os.Remove(beside)
		return nil, fmt.Errorf("opening the admin socket: %w", err)
	}
	return l, nil
}

// Serve responds to clients of l until Close.
func Serve(l net.Listener, c Commands, log *slog.Logger) *Server {
	s := &Server{http: &http.Server{Handler: c.handler(), ReadHeaderTimeout: headerTimeout}, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the admin socket failed", "error", err)
		}
	}()
	return s
}

// Close returns when the responses under way are written. The name of the socket stays: by now it
// may be that of another process.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	<-s.done
}

func (c Commands) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { respond(w, c.Status()) })
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) { respondOutcome(w, c.Reload(r.Context())) })
	mux.HandleFunc("POST /reload/dry-run", func(w http.ResponseWriter, _ *http.Request) { respondOutcome(w, c.DryRun()) })
	mux.HandleFunc("POST /upgrade", func(w http.ResponseWriter, r *http.Request) { respond(w, c.Upgrade(r.Context())) })
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, _ *http.Request) { respond(w, c.InFlight()) })
	mux.HandleFunc("GET /requests/{id}", func(w http.ResponseWriter, r *http.Request) {
		found := c.Explain(r.PathValue("id"))
		respond(w, append([]proxy.Trace{}, found...)) // a list in JSON too
	})
	mux.HandleFunc("POST /probes", c.expectProbe)
	mux.HandleFunc("GET /probes/{nonce}", c.probeReport)
	return mux
}

func (c Commands) expectProbe(w http.ResponseWriter, _ *http.Request) {
	nonce, err := c.ExpectProbe()
	if err != nil {
		http.Error(w, err.Error(), http.StatusTooManyRequests)
		return
	}
	respond(w, ProbeTicket{nonce})
}

func (c Commands) probeReport(w http.ResponseWriter, r *http.Request) {
	report, ok := c.ProbeReport(r.PathValue("nonce"))
	if !ok {
		http.Error(w, "no such probe", http.StatusNotFound)
		return
	}
	respond(w, report)
}

func respondOutcome(w http.ResponseWriter, o ReloadOutcome) {
	if o.Changes == nil {
		o.Changes = []config.Change{} // a list in JSON too
	}
	respond(w, o)
}

func respond(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // the client may have left
}
