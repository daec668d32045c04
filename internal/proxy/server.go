package proxy

import (
	"context"
	"errors"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	headerReadTimeout = 10 * time.Second
	maxHeaderBytes    = 64 << 10
	// spareConns are open connections beyond one for each request that may be in
	// flight or wait, so that /health and /metrics answer under full load.
	spareConns       = 256
	keepAliveTimeout = 2 * time.Minute

	// SettleTime is how long kept connections are waited for in a drain that is to be
	// over soon.
	SettleTime = time.Second
)

// Listener is a socket to serve on, with the name that header rules know.
type Listener struct {
	Name string
	net.Listener
}

// Server serves HTTP/1.1 on any number of listeners, and stops without losing a
// request. A client that begins with HTTP/2 is refused in HTTP/1.1.
type Server struct {
	http  *http.Server
	conns connHandler
	cut   context.CancelCauseFunc
	gate  *connGate
	log   *slog.Logger
	work  sync.WaitGroup
	stops chan struct{}
	fresh sync.Map // of net.Conn: those without a request so far
}

// NewServer makes a server for handler. Errors that net/http only logs go to log at
// debug level: peers cause them at will.
func NewServer(handler http.Handler, log *slog.Logger) *Server {
	ctx, cut := context.WithCancelCause(context.Background())
	s := &Server{cut: cut, gate: newConnGate(), log: log, stops: make(chan struct{})}
	s.conns = connHandler{s.announceStop(handler), ctx}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	s.http = &http.Server{
		Handler:                      s.conns,
		Protocols:                    &protocols,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            headerReadTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		IdleTimeout:                  keepAliveTimeout,
		ErrorLog:                     stdlog.New(LibraryLog(log), "", 0),
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, clientConnKey{}, c)
		},
		ConnState: s.noteConn,
	}
	return s
}

// announceStop tells clients with every response, once the server is stopping, to send
// the next request on another connection.
func (s *Server) announceStop(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if connOf(r).begin(r) || s.stopping() {
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

// Resize bounds the open connections by what may be in flight and wait.
func (s *Server) Resize(l Limits) { s.gate.resize(l.InFlight + l.Queue + spareConns) }

// Full reports whether new connections wait because too many are open. What cannot
// connect then proves nothing about the requests.
func (s *Server) Full() bool { return s.gate.full() }

// Open begins to accept on l. A failure that is not the end that
// CloseListeners makes is reported through failed.
func (s *Server) Open(l Listener, failed func(error)) {
	wrapped := &gatedListener{Listener: l.Listener, name: l.Name, gate: s.gate, handler: s.conns, closed: s.stops, log: s.log}
	s.work.Go(func() {
		if err := s.http.Serve(wrapped); !errors.Is(err, http.ErrServerClosed) {
			failed(err)
		}
	})
}

// CloseListeners accepts no more connections. Sockets that systemd holds keep
// theirs in the queue for the next process.
func (s *Server) CloseListeners(listeners []Listener) {
	close(s.stops)
	for _, l := range listeners {
		if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
			_ = d.SetDeadline(time.Unix(1, 0)) // wakes a blocked Accept
		} else {
			_ = l.Close()
		}
	}
	s.gate.close()
}

// Drain lets what is in flight finish, until ctx ends. Connections that wait for
// their next request get the time settle before they are closed: one that is under way
// would meet a closed connection otherwise.
func (s *Server) Drain(ctx context.Context, settle time.Duration) error {
	settled, cancel := context.WithTimeout(ctx, settle)
	s.gate.waitEmpty(settled)
	cancel()
	s.closeSilent()
	return s.http.Shutdown(ctx)
}

func (s *Server) noteConn(c net.Conn, state http.ConnState) {
	if state == http.StateNew {
		s.fresh.Store(c, nil)
	} else {
		s.fresh.Delete(c)
	}
}

// closeSilent closes the connections that were made ahead and never used. Shutdown
// would wait for them as long as for a request.
func (s *Server) closeSilent() {
	for c := range s.fresh.Range {
		if c, ok := c.(*clientConn); ok && !c.spoke.Load() {
			_ = c.Close() // nobody has asked anything on it
		}
	}
}

// Cut ends every request that is still in flight, each as honestly as its
// protocol can say it, and waits for them until ctx ends.
func (s *Server) Cut(ctx context.Context) {
	s.cut(errDrainEnded)
	_ = s.http.Shutdown(ctx) // what remains is closed next
	_ = s.http.Close()
	s.work.Wait()
}
