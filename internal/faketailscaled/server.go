// Package faketailscaled is a fake of the daemon of a Tailscale node: the calls of its local API
// that oauth-proxyd makes, with responses that a test changes. The tests of the command and the
// labs below internal/lab share it. internal/lab/tailnet shows what a real tailscaled does.
//
//	d := faketailscaled.New()
//	d.Serve(listener) // a Unix socket; tailscale.socket of the configuration
//	defer d.Close()
//	d.Become("NeedsLogin")
package faketailscaled

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// Version is the reported version, unless SetStatus sets another one.
	Version = "1.102.5"
	// LoginURL is where NeedsLogin sends people.
	LoginURL = "https://login.tailscale.com/a/5ecre7109in"
)

// Server is a tailscaled.
type Server struct {
	// Asked, if not nil, is called for each request before its response begins.
	Asked func(*http.Request)

	mu       sync.Mutex
	handlers map[string]http.HandlerFunc // by call; they replace the server's own
	state    state
	watchers map[chan struct{}]bool

	http    *http.Server
	serving sync.WaitGroup
}

// state is what tests change.
type state struct {
	status  string // the response to a request for the status
	peer    string // the response to WhoIs, whatever the address; empty: not found
	serves  string // the configuration of "tailscale serve"
	hangs   bool
	failure string // the response to every request, with status 500; empty: it works
}

// New returns a tailscaled in the state Running, which does not serve yet.
func New() *Server {
	return &Server{
		state:    state{status: Status("Running", Version), serves: "null"},
		handlers: map[string]http.HandlerFunc{}, watchers: map[chan struct{}]bool{},
	}
}

// Serve serves on l until Close. After that it may serve again, as a new process.
func (s *Server) Serve(l net.Listener) {
	const prefix = "GET /localapi/v0/"
	mux := http.NewServeMux()
	for call, own := range map[string]http.HandlerFunc{
		"status":        s.respond(func(now state) string { return now.status }),
		"serve-config":  s.respond(func(now state) string { return now.serves }),
		"watch-ipn-bus": s.serveBus,
		"whois":         s.serveWhoIs,
	} {
		mux.HandleFunc(prefix+call, func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			handler := s.handlers[call]
			s.mu.Unlock()
			if s.Asked != nil {
				s.Asked(r)
			}
			if handler == nil {
				handler = own
			}
			handler(w, r)
		})
	}
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	s.serving.Go(func() { _ = s.http.Serve(l) })
}

// Close stops serving. The listener removes its socket file, as when tailscaled stops.
func (s *Server) Close() {
	if s.http != nil {
		_ = s.http.Close() // nothing is asked any more
	}
	s.serving.Wait()
}

// Status returns the status of a node named box.
func Status(state, version string) string {
	login := ""
	if state == "NeedsLogin" {
		login = fmt.Sprintf(`,"AuthURL":%q`, LoginURL)
	}
	return fmt.Sprintf(`{"Version":%q,"TUN":true,"BackendState":%q,"HaveNodeKey":true,
		"TailscaleIPs":["100.64.0.7"],"Self":{"HostName":"box","DNSName":"box.tail.ts.net.",
		"TailscaleIPs":["100.64.0.7"]},"Health":[]%s}`, version, state, login)
}

// Become changes the backend state and tells the watchers of the bus.
func (s *Server) Become(backend string) {
	s.SetStatus(Status(backend, Version))
	s.Notify()
}

// Handle replaces the response to a call that the server has, such as "status"; nil ends that.
func (s *Server) Handle(call string, handler http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers[call] = handler
}

// Fail responds to every request with an error of these words; "" ends that.
func (s *Server) Fail(words string) {
	s.change(func(now *state) { now.failure = words })
	s.Notify()
}

// SetStatus changes the whole status, without a message on the bus.
func (s *Server) SetStatus(status string) { s.change(func(now *state) { now.status = status }) }

// Hang accepts requests and does not respond.
func (s *Server) Hang() { s.change(func(now *state) { now.hangs = true }) }

// Expire sets when the node's key expires, in RFC 3339.
func (s *Server) Expire(at string) {
	s.replace(`"HostName":"box"`, fmt.Sprintf(`"HostName":"box","KeyExpiry":%q`, at))
}

// Warn sets a health warning.
func (s *Server) Warn(warning string) {
	s.replace(`"Health":[]`, fmt.Sprintf(`"Health":[%q]`, warning))
}

// Deliver makes it a tailscaled without a network device, so that a connection from loopback may be
// a peer's: of this peer, which is the response to WhoIs.
func (s *Server) Deliver(peer string) {
	s.replace(`"TUN":true`, `"TUN":false`)
	s.change(func(now *state) { now.peer = peer })
}

// Forward sets the configuration of "tailscale serve", an ipn.ServeConfig in JSON.
func (s *Server) Forward(config string) { s.change(func(now *state) { now.serves = config }) }

func (s *Server) change(change func(*state)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
}

func (s *Server) replace(old, now string) {
	s.change(func(st *state) { st.status = strings.Replace(st.status, old, now, 1) })
}

// Notify makes the watchers of the bus look again.
func (s *Server) Notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watchers {
		select {
		case w <- struct{}{}:
		default: // it has one to read
		}
	}
}

func (s *Server) now() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *Server) respond(response func(state) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch now := s.now(); {
		case now.hangs:
			<-r.Context().Done()
		case now.failure != "":
			http.Error(w, now.failure, http.StatusInternalServerError)
		default:
			_, _ = io.WriteString(w, response(now)) // the client may have left
		}
	}
}

func (s *Server) serveWhoIs(w http.ResponseWriter, r *http.Request) {
	if now := s.now(); now.peer == "" && !now.hangs && now.failure == "" {
		http.NotFound(w, r)
		return
	}
	s.respond(func(now state) string { return now.peer })(w, r)
}

func (s *Server) serveBus(w http.ResponseWriter, r *http.Request) {
	changed := make(chan struct{}, 1)
	s.mu.Lock()
	s.watchers[changed] = true
	s.mu.Unlock()
	defer func() { s.mu.Lock(); delete(s.watchers, changed); s.mu.Unlock() }()
	for {
		_, _ = io.WriteString(w, `{"Version":"`+Version+`","State":6}`+"\n") // the client may have left
		_ = http.NewResponseController(w).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}
