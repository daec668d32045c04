package inbound

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"oauth-proxyd/internal/access"
)

// acceptQueue accepts every connection of one listener at once, and hands to net/http those for
// which the budgets have room. So no client waits in the kernel's queue behind connections that are
// held back.
type acceptQueue struct {
	net.Listener
	name        string
	connections *connections
	handler     connHandler
	stopping    context.Context // ends with CloseListeners
	log         *slog.Logger

	// Guarded by the lock of connections.
	ready []*Conn // to be served
	ended bool    // accepting has ended
	err   error   // why; http.ErrServerClosed after CloseListeners
}

// run accepts until the listener is closed or fails.
func (q *acceptQueue) run() {
	err := q.acceptAll()
	s := q.connections
	s.mu.Lock()
	defer s.mu.Unlock()
	q.ended, q.err = true, err
	s.accepting--
	s.arrived.Broadcast()
	s.signalEmpty()
}

func (q *acceptQueue) acceptAll() error {
	const shortest, longest = 5 * time.Millisecond, time.Second
	pause := shortest
	for {
		c, err := q.Listener.Accept()
		if err == nil {
			pause = shortest
			from := access.Of(c)
			q.connections.arrive(&Conn{Conn: c, Listener: q.name, Access: from, source: access.Network(from.Addr()), queue: q})
			continue
		}
		if q.stopping.Err() != nil {
			return http.ErrServerClosed
		}
		if temporary, ok := err.(net.Error); !ok || !temporary.Temporary() { //nolint:staticcheck,errorlint // as net/http judges Accept
			return err
		}
		q.log.Warn("could not accept a connection", "listener", q.name, "error", err)
		select { // there may be no file descriptor left
		case <-time.After(pause):
		case <-q.stopping.Done():
			return http.ErrServerClosed
		}
		pause = min(2*pause, longest)
	}
}

// Accept implements net.Listener. After CloseListeners it returns http.ErrServerClosed, but only
// once every accepted connection is handed over: connections.close releases those that wait.
func (q *acceptQueue) Accept() (net.Conn, error) {
	s := q.connections
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(q.ready) == 0 {
		if stopped := errors.Is(q.err, http.ErrServerClosed); q.ended && (s.closed || !stopped) {
			return nil, q.err
		}
		s.arrived.Wait()
	}
	c := q.ready[0]
	q.ready[0] = nil
	q.ready = q.ready[1:]
	return c, nil
}

// shared reports whether different senders use this address. Programs on this host use
// these, and a tailscaled without a network device delivers all its peers from there. The zero
// Addr stands for Unix sockets.
func shared(addr netip.Addr) bool {
	return !addr.IsValid() || addr == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || addr == netip.IPv6Loopback()
}
