package inbound

import (
	"errors"
	"net"
	"net/http"
	"time"

	"oauth-proxyd/internal/access"
)

// acceptAll accepts every connection of a listener at once, so that no client waits in the kernel's
// queue behind connections that are held back. It returns nil after CloseListeners.
func (s *Server) acceptAll(name string, l net.Listener) error {
	defer s.connections.ended()
	const pause = 200 * time.Millisecond // after an error: there may be no file descriptor left
	var logged time.Time
	for {
		c, err := l.Accept()
		if err == nil {
			from := access.NewConn(c)
			s.connections.arrive(&Conn{
				Conn: c, Listener: name, Sender: from, origin: access.Network(from.Addr()), server: s,
				scan: scanner{ended: time.Now()},
			})
			continue
		}
		if s.stopping.Err() != nil {
			return nil
		}
		if temporary, ok := err.(net.Error); !ok || !temporary.Temporary() { //nolint:staticcheck,errorlint // as net/http judges Accept
			return err
		}
		if time.Since(logged) >= time.Minute {
			s.log.Warn("could not accept a connection", "listener", name, "error", err)
			logged = time.Now()
		}
		select {
		case <-time.After(pause):
		case <-s.stopping.Done():
			return nil
		}
	}
}

// ready is the net.Listener from which net/http takes the connections of all listeners for which
// the budgets have room.
type ready struct{ server *Server }

// Accept implements net.Listener. After CloseListeners it returns http.ErrServerClosed, but only
// once every accepted connection is handed over: connections.close releases those that wait.
func (r ready) Accept() (net.Conn, error) {
	s := r.server.connections
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.ready) == 0 {
		if s.closed && s.accepting == 0 {
			return nil, http.ErrServerClosed
		}
		s.arrived.Wait()
	}
	c := s.ready[0]
	s.ready[0] = nil
	s.ready = s.ready[1:]
	return c, nil
}

func (r ready) Close() error {
	var errs []error
	for _, l := range r.server.listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

func (r ready) Addr() net.Addr { return r.server.listeners[0].Addr() }
