package inbound

import (
	"context"
	"errors"
	"io"
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
	// MaxHeaderBytes is the size of the largest request header that is accepted.
	MaxHeaderBytes   = 64 << 10
	keepAliveTimeout = 2 * time.Minute

	// SettleTime is how long a short drain waits for idle connections.
	SettleTime = time.Second
)

// ErrDrainEnded is the cause with which Cut cancels requests.
var ErrDrainEnded = errors.New("the drain ended before the request did")

// Server serves HTTP/1.1 on any number of listeners, and stops without losing a request. A client
// that starts with HTTP/2 gets an error in HTTP/1.1.
type Server struct {
	http        *http.Server
	handler     http.Handler
	base        context.Context // of all requests; ends with Cut
	connections *connections
	cut         context.CancelCauseFunc
	log         *slog.Logger
	work        sync.WaitGroup
	listeners   []net.Listener
	stopping    context.Context // ends with CloseListeners
	stop        context.CancelFunc
}

// NewServer returns a server for handler. net/http's own messages are dropped, because clients
// cause them at will, and they quote what a client sent.
func NewServer(handler http.Handler, log *slog.Logger) *Server {
	s := &Server{connections: newConnections(), log: log}
	s.base, s.cut = context.WithCancelCause(context.Background())
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.handler = s.guard(handler)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	s.http = &http.Server{
		Handler:                      s.handler,
		Protocols:                    &protocols,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            headerReadTimeout,
		MaxHeaderBytes:               MaxHeaderBytes,
		IdleTimeout:                  keepAliveTimeout,
		ErrorLog:                     stdlog.New(io.Discard, "", 0),
		BaseContext:                  func(net.Listener) context.Context { return s.base },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			if c, ok := c.(*Conn); ok && state == http.StateIdle {
				c.scan.end()
			}
		},
	}
	return s
}

// guard records that a connection has a request. Once the server is stopping, each response tells
// the client to send its next request on another connection.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := ConnOf(r)
		defer c.Relay(false)
		c.begin(r)
		if c.Misframed || s.stopping.Err() != nil {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// Resize sets how many requests may be in flight or wait, which bounds the open connections of
// admitted sources. scale, at most 1, reduces the other bounds if the process has too few file
// descriptors for them; see [Descriptors].
func (s *Server) Resize(requests int, scale float64) { s.connections.resize(requests, scale) }

// Exempt exempts the connection from remote, which this process made, from the bounds, or ends
// that.
func (s *Server) Exempt(remote netip.AddrPort, on bool) { s.connections.setExempt(remote, on) }

// Connections counts the open connections.
func (s *Server) Connections() ConnectionStats { return s.connections.stats() }

// Open starts to accept on l; name is its name in header rules. If accepting fails before
// CloseListeners, it calls failed. Open and CloseListeners must be called by one goroutine.
func (s *Server) Open(name string, l net.Listener, failed func(error)) {
	s.listeners = append(s.listeners, l)
	s.connections.open()
	s.work.Go(func() {
		if err := s.acceptAll(name, l); err != nil {
			failed(err)
		}
	})
	if len(s.listeners) == 1 {
		s.work.Go(func() { _ = s.http.Serve(ready{s}) }) // ends with http.ErrServerClosed
	}
}

// CloseListeners stops accepting. A socket that systemd holds queues new connections for the next
// process.
func (s *Server) CloseListeners() {
	s.stop()
	for _, l := range s.listeners {
		if d, ok := l.(interface{ SetDeadline(time.Time) error }); ok {
			_ = d.SetDeadline(time.Unix(1, 0)) // wakes a blocked Accept
		} else {
			_ = l.Close()
		}
	}
	s.connections.close()
}

// Drain waits until the requests in flight have ended, or ctx ends. It closes idle connections only
// after settle, because a client may just be sending a request on one.
func (s *Server) Drain(ctx context.Context, settle time.Duration) error {
	s.settle(ctx, settle)
	for _, c := range s.connections.unused() {
		_ = c.Close() // Shutdown would wait for it as for a request
	}
	return s.http.Shutdown(ctx)
}

// settle waits until no connection is open, or for a time without a stall. On a machine that does
// not let this process run, a request that came meanwhile is unread when the timer fires.
func (s *Server) settle(ctx context.Context, wait time.Duration) {
	const ticks = 10
	for left := ticks; left > 0; left-- {
		began := time.Now()
		select {
		case <-time.After(wait / ticks):
		case <-s.connections.empty:
			return
		case <-ctx.Done():
			return
		}
		if time.Since(began) > 2*wait/ticks {
			left = ticks
		}
	}
}

// Cut ends every request that is still in flight, so that no response looks complete, and waits for
// them until ctx ends.
func (s *Server) Cut(ctx context.Context) {
	s.CloseListeners()
	s.cut(ErrDrainEnded)
	_ = s.http.Shutdown(ctx) // what remains is closed next
	_ = s.http.Close()
	s.work.Wait()
}
