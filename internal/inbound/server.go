package inbound

import (
	"context"
	"errors"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	headerReadTimeout = 10 * time.Second
	// MaxHeaderBytes is the largest header of a request.
	MaxHeaderBytes   = 64 << 10
	keepAliveTimeout = 2 * time.Minute

	// SettleTime is how long kept connections are waited for in a drain that is to be over soon.
	SettleTime = time.Second
)

// ErrDrainEnded is why requests are cut: the cause of their contexts.
var ErrDrainEnded = errors.New("the drain before a stop or restart came to its end")

// Server serves HTTP/1.1 on any number of listeners, and stops without losing a request. A client
// that begins with HTTP/2 is refused in HTTP/1.1.
type Server struct {
	http        *http.Server
	handler     connHandler
	connections *connections
	cut         context.CancelCauseFunc
	log         *slog.Logger
	work        sync.WaitGroup
	listeners   []net.Listener
	stops       chan struct{}
}

// NewServer makes a server for handler. Errors that net/http only logs go to log at debug level:
// peers cause them at will.
func NewServer(handler http.Handler, log *slog.Logger) *Server {
	ctx, cut := context.WithCancelCause(context.Background())
	s := &Server{connections: newConnections(), cut: cut, log: log, stops: make(chan struct{})}
	s.handler = connHandler{s.guard(handler), ctx}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	s.http = &http.Server{
		Handler:                      s.handler,
		Protocols:                    &protocols,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            headerReadTimeout,
		MaxHeaderBytes:               MaxHeaderBytes,
		IdleTimeout:                  keepAliveTimeout,
		ErrorLog:                     stdlog.New(LibraryLog(log), "", 0),
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: s.noteConn,
	}
	return s
}

// guard records when a connection is at work, and tells clients with every response, once the
// server is stopping, to send the next request on another connection.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := ConnOf(r)
		s.connections.setWorking(c, true)
		defer c.Relay(false)
		if c.begin(r) || s.stopping() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) stopping() bool {
	select {
	case <-s.stops:
		return true
	default:
		return false
	}
}

// Resize bounds the open connections of admitted sources by how many requests may be in flight or
// wait.
func (s *Server) Resize(requests int) { s.connections.resize(requests + spareConns) }

// Spare keeps the connection from remote, one of this process, out of the bounds until it is called
// again with false.
func (s *Server) Spare(remote netip.AddrPort, on bool) { s.connections.spare(remote, on) }

// Connections counts those that are open.
func (s *Server) Connections() ConnectionStats { return s.connections.stats() }

// Open begins to accept on l, which header rules know by that name. A failure that is not the end
// that CloseListeners makes is reported through failed. One goroutine calls both.
func (s *Server) Open(name string, l net.Listener, failed func(error)) {
	s.listeners = append(s.listeners, l)
	queue := &acceptQueue{
		Listener: l, name: name, connections: s.connections, handler: s.handler, stopped: s.stops, log: s.log,
	}
	s.work.Go(queue.run)
	s.work.Go(func() {
		if err := s.http.Serve(queue); !errors.Is(err, http.ErrServerClosed) {
			failed(err)
		}
	})
}

// CloseListeners accepts no more connections. Sockets that systemd holds keep theirs in the queue
// for the next process.
func (s *Server) CloseListeners() {
	close(s.stops)
	for _, l := range s.listeners {
		if d, ok := l.(interface{ SetDeadline(time.Time) error }); ok {
			_ = d.SetDeadline(time.Unix(1, 0)) // wakes a blocked Accept
		} else {
			_ = l.Close()
		}
	}
	s.connections.close()
}

// Drain lets what is in flight finish, until ctx ends. Connections that wait for their next request
// get the time settle before they are closed: one that is under way would meet a closed connection
// otherwise.
func (s *Server) Drain(ctx context.Context, settle time.Duration) error {
	settled, cancel := context.WithTimeout(ctx, settle)
	s.connections.waitEmpty(settled)
	cancel()
	s.closeSilent()
	return s.http.Shutdown(ctx)
}

func (s *Server) noteConn(c net.Conn, state http.ConnState) {
	if c, ok := c.(*Conn); ok && state == http.StateIdle {
		s.connections.setWorking(c, false)
	}
}

// closeSilent closes the connections that were made ahead and never used. Shutdown would wait for
// them as long as for a request.
func (s *Server) closeSilent() {
	for _, c := range s.connections.silent() {
		_ = c.Close() // nobody has asked anything on it
	}
}

// Cut ends every request that is still in flight, each as honestly as its protocol can say it, and
// waits for them until ctx ends.
func (s *Server) Cut(ctx context.Context) {
	s.cut(ErrDrainEnded)
	_ = s.http.Shutdown(ctx) // what remains is closed next
	_ = s.http.Close()
	s.work.Wait()
}
