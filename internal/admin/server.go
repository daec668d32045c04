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
	"sync"
	"syscall"
	"time"

	"oauth-proxyd/internal/kernel"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/ratelimit"
)

const (
	newSuffix     = ".new" // of a socket that is not published yet
	socketMode    = 0o660  // the owner and the group of the socket may send commands
	headerTimeout = 10 * time.Second
	closeTimeout  = time.Second // for responses under way
)

// Commands has a function for each command. The server calls them from its own goroutines.
type Commands struct {
	Status func() Status
	// Reload and Upgrade return when the outcome is known, or with any value when the client has
	// left. The asker is for the log.
	Reload  func(ctx context.Context, asker string) ReloadOutcome
	DryRun  func() ReloadOutcome
	Upgrade func(ctx context.Context, asker string) UpgradeOutcome

	InFlight func() []proxy.Trace
	Failures func() []proxy.Trace
	Explain  func(id string) []proxy.Trace
	Limits   func() []ratelimit.Account

	ExpectProbe func() (nonce string)
	ProbeReport func(nonce string) ProbeReport // zero: no such probe has arrived
}

// Server responds to a [Client].
type Server struct {
	http *http.Server
	path string // of the socket, once it is published
	name string // of the socket now
	work sync.WaitGroup
}

// Serve makes the socket, which gets its path in Publish, and responds to clients until Close. If
// another daemon already has a socket at path, that is an error, unless this process succeeds it.
func Serve(path string, succeeds bool, c Commands, log *slog.Logger) (*Server, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the directory of the admin socket: %w", err)
	}
	if !succeeds {
		other, err := net.Dial("unix", path)
		if err == nil {
			_ = other.Close()
		}
		if err == nil || errors.Is(err, syscall.EAGAIN) { // its queue is full
			return nil, fmt.Errorf("%s is in use by another daemon", path)
		}
	}
	name := path + newSuffix
	l, err := listen(name)
	if err != nil {
		return nil, fmt.Errorf("opening the admin socket: %w", err)
	}
	s := &Server{
		http: &http.Server{Handler: c.handler(), ReadHeaderTimeout: headerTimeout, ConnContext: withPeer},
		path: path, name: name,
	}
	s.work.Go(func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the admin socket failed", "error", err)
		}
	})
	return s, nil
}

// listen makes the socket. It replaces one that a killed process left.
func listen(name string) (net.Listener, error) {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // another process may have the name by then
	if err := os.Chmod(name, socketMode); err != nil {
		return nil, errors.Join(err, l.Close(), os.Remove(name))
	}
	return l, nil
}

// peer is the key of the process at the other end of a connection, in its context.
type peer struct{}

// withPeer adds the uid and the process, from SO_PEERCRED, unix(7). In the sandbox of the unit
// (PrivateUsers=), the kernel shows every uid as 65534, except root's and the service's own.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	text := "an unknown process"
	if p, err := kernel.PeerCredentials(c); err == nil {
		text = fmt.Sprintf("uid %d, process %d", p.Uid, p.Pid)
	}
	return context.WithValue(ctx, peer{}, text)
}

// asker says who sent a command, for the log: the process, and what the client says of itself.
func asker(r *http.Request) string {
	return fmt.Sprintf("%v, which says: %s", r.Context().Value(peer{}), r.UserAgent())
}

// Publish gives the socket its path. It replaces the socket of the process before in one step.
func (s *Server) Publish() error {
	if err := os.Rename(s.name, s.path); err != nil {
		return fmt.Errorf("opening the admin socket: %w", err)
	}
	s.name = s.path
	return nil
}

// IsGone reports whether the file of the socket was removed or replaced, so that no client can
// connect.
func (s *Server) IsGone() bool {
	info, err := os.Lstat(s.path)
	return errors.Is(err, os.ErrNotExist) || err == nil && info.Mode().Type() != os.ModeSocket
}

// Remove removes the file of the socket.
func (s *Server) Remove() { _ = os.Remove(s.name) } // nothing depends on it

// Close returns when the responses under way are written. The file of the socket stays, because it
// may be another process's by now.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	s.work.Wait()
}

func (c Commands) handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, command func(*http.Request) any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewEncoder(w).Encode(command(r)) // the client may have left
		})
	}
	// The client of a command that takes longer sees at once that it was taken.
	handleLong := func(pattern string, command func(*http.Request) any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush() // sends the header, unless the client has left
			_ = json.NewEncoder(w).Encode(command(r)) // likewise
		})
	}
	handle("GET /status", func(*http.Request) any { return c.Status() })
	handleLong("POST /reload", func(r *http.Request) any { return c.Reload(r.Context(), asker(r)) })
	handle("POST /reload/dry-run", func(*http.Request) any { return c.DryRun() })
	handleLong("POST /upgrade", func(r *http.Request) any { return c.Upgrade(r.Context(), asker(r)) })
	handle("GET /requests", func(*http.Request) any { return c.InFlight() })
	handle("GET /failures", func(*http.Request) any { return c.Failures() })
	handle("GET /explain", func(r *http.Request) any { return c.Explain(r.FormValue("id")) })
	handle("GET /limits", func(*http.Request) any { return c.Limits() })
	handle("POST /probes", func(*http.Request) any { return c.ExpectProbe() })
	handle("GET /probes/{nonce}", func(r *http.Request) any { return c.ProbeReport(r.PathValue("nonce")) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", serverName)
		w.Header().Set("Content-Type", "application/json")
		mux.ServeHTTP(w, r)
	})
}
