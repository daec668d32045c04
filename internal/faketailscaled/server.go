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

// Version is the version that it reports, unless SetStatus sets another.
const Version = "1.102.5"

// Server is a tailscaled.
type Server struct {
	mu       sync.Mutex
	status   string
	peer     string // who all that is asked about is; empty: nobody
	serves   string // what "tailscale serve" was told
	hangs    bool
	failure  string // its response to every question, with status 500; empty: it works
	watchers map[chan struct{}]bool

	http    *http.Server
	serving sync.WaitGroup
}

// New is in the state Running, and does not serve yet.
func New() *Server {
	return &Server{status: Status("Running", Version), serves: "null", watchers: map[chan struct{}]bool{}}
}

// Serve serves there until Close. After that it may serve again, as a new process.
func (s *Server) Serve(l net.Listener) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /localapi/v0/status", s.serveStatus)
	mux.HandleFunc("GET /localapi/v0/watch-ipn-bus", s.serveBus)
	mux.HandleFunc("GET /localapi/v0/whois", s.serveWhoIs)
	mux.HandleFunc("GET /localapi/v0/serve-config", s.serveServeConfig)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	s.serving.Go(func() { _ = s.http.Serve(l) })
}

// Close ends it, and the socket file goes with the listener, as after a stop.
func (s *Server) Close() {
	if s.http != nil {
		_ = s.http.Close() // it serves nobody any more
	}
	s.serving.Wait()
}

// LoginURL is where NeedsLogin sends people.
const LoginURL = "https://login.tailscale.com/a/5ecre7109in"

// Status is what tailscaled says of a node called box.
func Status(state, version string) string {
	login := ""
	if state == "NeedsLogin" {
		login = fmt.Sprintf(`,"AuthURL":%q`, LoginURL)
	}
	return fmt.Sprintf(`{"Version":%q,"TUN":true,"BackendState":%q,"HaveNodeKey":true,
		"TailscaleIPs":["100.64.0.7"],"Self":{"HostName":"box","DNSName":"box.tail.ts.net.",
		"TailscaleIPs":["100.64.0.7"]},"Health":[]%s}`, version, state, login)
}

// Become changes the state and tells the watchers of the bus.
func (s *Server) Become(state string) {
	s.SetStatus(Status(state, Version))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notify()
}

// Fail has it respond to every question with an error of these words; "" ends that.
func (s *Server) Fail(words string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = words
	s.notify()
}

// notify has the watchers of the bus look again.
func (s *Server) notify() {
	for w := range s.watchers {
		select {
		case w <- struct{}{}:
		default: // it has one to read
		}
	}
}

// SetStatus changes the whole status without a message on the bus.
func (s *Server) SetStatus(status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// Hang has it accept requests and respond to none, and know nobody.
func (s *Server) Hang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangs = true
}

// Expire has it report when the node's key does, in RFC 3339.
func (s *Server) Expire(at string) {
	s.replace(`"HostName":"box"`, fmt.Sprintf(`"HostName":"box","KeyExpiry":%q`, at))
}

// Warn has it report a health warning.
func (s *Server) Warn(warning string) {
	s.replace(`"Health":[]`, fmt.Sprintf(`"Health":[%q]`, warning))
}

// Deliver has it run without a network device, so that who connects from loopback may be a peer,
// and is this one: the response to WhoIs.
func (s *Server) Deliver(peer string) {
	s.replace(`"TUN":true`, `"TUN":false`)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peer = peer
}

// Forward has it forward TCP connections of a port of the tailnet to a target, as after "tailscale
// serve --tcp".
func (s *Server) Forward(port int, target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serves = fmt.Sprintf(`{"TCP":{"%d":{"TCPForward":%q}}}`, port, target)
}

// ForwardService is the same for a port of a Tailscale Service, as after "tailscale serve
// --service=svc:NAME --tcp=PORT TARGET".
func (s *Server) ForwardService(name, port, target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serves = fmt.Sprintf(`{"Services":{%q:{"TCP":{%q:{"TCPForward":%q}}}}}`, name, port, target)
}

func (s *Server) serveServeConfig(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	serves, hangs := s.serves, s.hangs
	s.mu.Unlock()
	if hangs {
		<-r.Context().Done()
		return
	}
	_, _ = io.WriteString(w, serves) // a client that left needs nothing
}

func (s *Server) replace(old, now string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = strings.Replace(s.status, old, now, 1)
}

func (s *Server) serveStatus(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	status, hangs, failure := s.status, s.hangs, s.failure
	s.mu.Unlock()
	switch {
	case hangs:
		<-r.Context().Done()
		return
	case failure != "":
		http.Error(w, failure, http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, status) // a client that left needs nothing
}

func (s *Server) serveWhoIs(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	peer, hangs, failure := s.peer, s.hangs, s.failure
	s.mu.Unlock()
	switch {
	case failure != "":
		http.Error(w, failure, http.StatusInternalServerError)
	case hangs:
		http.Error(w, "busy", http.StatusInternalServerError)
	case peer == "":
		http.NotFound(w, r)
	default:
		_, _ = io.WriteString(w, peer) // likewise
	}
}

func (s *Server) serveBus(w http.ResponseWriter, r *http.Request) {
	changed := make(chan struct{}, 1)
	s.mu.Lock()
	s.watchers[changed] = true
	s.mu.Unlock()
	defer func() { s.mu.Lock(); delete(s.watchers, changed); s.mu.Unlock() }()
	for {
		_, _ = io.WriteString(w, `{"Version":"`+Version+`","State":6}`+"\n") // likewise
		_ = http.NewResponseController(w).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}
