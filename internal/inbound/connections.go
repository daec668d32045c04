package inbound

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
	"time"
)

// connections bounds the open connections, so that whoever opens them cannot keep others
// out. A connection begins as a stranger, in a small budget with a share for each source,
// and leaves it with its first admitted request; those of a source that was admitted before
// are not strangers. Past the share, connections are parked: the first burst of a gateway
// waits for its first request to be judged, and is let in as a whole. Admitted connections
// are bounded by what may be in flight and wait; at the bound, the longest idle gives way.
type connections struct {
	mu       sync.Mutex
	arrived  sync.Cond // a connection is ready, or closed
	limit    int       // of admitted
	admitted int
	open     map[netip.Addr]int // the same by source
	idle     list.List          // of *Conn: admitted, and without a request; the longest first

	network, host budget
	sources       map[netip.Addr]*source // those with strangers or parked connections
	janitor       *time.Timer            // runs while something is parked

	known  map[netip.Addr]*list.Element // admitted lately
	order  list.List                    // of netip.Addr: known, the oldest first
	exempt map[netip.AddrPort]bool      // the watchdog's own connections

	closed bool
	empty  chan struct{} // closed when nothing is open after close
}

func newConnections() *connections {
	s := &connections{
		limit: spareConns, open: make(map[netip.Addr]int), sources: make(map[netip.Addr]*source), known: make(map[netip.Addr]*list.Element),
		exempt: make(map[netip.AddrPort]bool), empty: make(chan struct{}),
	}
	s.arrived.L = &s.mu
	return s
}

// resize puts a new limit in force; who is in stays in.
func (s *connections) resize(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
}

// arrive takes in a connection that was accepted.
func (s *connections) arrive(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	remote, _ := netip.ParseAddrPort(c.RemoteAddr().String()) // invalid for Unix sockets
	if _, known := s.known[c.source]; known {
		s.letIn(c)
		return
	}
	from := s.from(c.source)
	switch {
	case s.exempt[remote], s.closed, from.strangers.Len() < from.share() && s.makeRoom(from), s.displace(from):
		s.begin(from, c)
	case from.budget.parked < maxParked:
		s.park(from, c)
	default:
		s.tidy(from)
		c.evict()
	}
}

// letIn makes a connection an admitted one that is served.
func (s *connections) letIn(c *Conn) {
	if s.admitted >= s.limit && !s.evictIdle(c.source) {
		c.evict()
		return
	}
	s.countAdmitted(c.source, 1)
	c.place, c.element = placeAdmitted, s.idle.PushBack(c)
	s.serve(c)
}

// countAdmitted counts in all and by source.
func (s *connections) countAdmitted(addr netip.Addr, n int) {
	s.admitted += n
	if s.open[addr] += n; s.open[addr] == 0 {
		delete(s.open, addr)
	}
}

func (s *connections) serve(c *Conn) {
	c.queue.ready = append(c.queue.ready, c)
	s.arrived.Broadcast()
}

// evictIdle makes room for a connection from addr: it closes the one that has been idle longest
// of the source with the most connections. Where none of those is idle, that source gets no
// more, and others may go past the bound a little. It reports false if there is no room.
func (s *connections) evictIdle(addr netip.Addr) bool {
	var greedy netip.Addr
	for one, n := range s.open {
		if n > s.open[greedy] {
			greedy = one
		}
	}
	for e := s.idle.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*Conn); c.source == greedy {
			c.evict()
			s.remove(c)
			return true
		}
	}
	return addr != greedy && s.admitted < s.limit+spareConns
}

// busy notes that a request of c is at work.
func (s *connections) busy(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.working = true
	if c.place == placeAdmitted && c.element != nil {
		s.idle.Remove(c.element)
		c.element = nil
	}
}

// rest notes that c waits for its next request.
func (s *connections) rest(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.working = false
	if c.place == placeAdmitted && c.element == nil {
		c.element = s.idle.PushBack(c)
	}
}

// admit notes that a request of c was admitted by the access rules, so that it and what its
// source opens is no stranger any more.
func (s *connections) admit(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.place != placeStranger {
		return
	}
	s.remove(c)
	if s.admitted >= s.limit {
		s.evictIdle(c.source)
	}
	s.countAdmitted(c.source, 1)
	c.place = placeAdmitted // and at work, so not idle
	if !shared(c.source) {
		s.remember(c.source)
	}
	s.unpark()
}

// refuse notes that a request of c was not admitted. What its source opens is a stranger
// again.
func (s *connections) refuse(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(c.source)
}

// spare keeps the connection from remote out of the bounds: it is ours.
func (s *connections) spare(remote netip.AddrPort, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !on {
		delete(s.exempt, remote)
		return
	}
	s.exempt[remote] = true
	from := s.sources[remote.Addr()]
	if from == nil {
		return
	}
	for e := from.parked.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*Conn); c.RemoteAddr().String() == remote.String() {
			s.take(from, c)
			s.begin(from, c)
			return
		}
	}
}

// leave notes that c is closed.
func (s *connections) leave(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(c)
	s.unpark()
	s.signalEmpty()
}

// remove takes c out of the counts, once. The caller holds mu.
func (s *connections) remove(c *Conn) {
	from := s.sources[c.source]
	switch c.place {
	case placeAdmitted:
		s.countAdmitted(c.source, -1)
		if c.element != nil {
			s.idle.Remove(c.element)
		}
	case placeStranger:
		from.budget.strangers--
		from.strangers.Remove(c.element)
	case placeParked:
		s.take(from, c)
	case placeNone:
		return
	}
	c.place, c.element = placeNone, nil
	s.tidy(from)
}

func (s *connections) tidy(from *source) {
	if from != nil && from.strangers.Len() == 0 && from.parked.Len() == 0 {
		delete(s.sources, from.addr)
	}
}

// close lets everybody in who was accepted: nobody else will serve them.
func (s *connections) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.unpark()
	s.arrived.Broadcast()
	s.signalEmpty()
}

func (s *connections) signalEmpty() {
	if !s.closed || s.admitted+s.network.strangers+s.network.parked+s.host.strangers+s.host.parked > 0 {
		return
	}
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}

// waitEmpty returns when no connection is open after close, or with ctx.
func (s *connections) waitEmpty(ctx context.Context) {
	select {
	case <-s.empty:
	case <-ctx.Done():
	}
}

// silent are the connections that wait for a request and have sent no byte.
func (s *connections) silent() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Conn
	add := func(l *list.List) {
		for e := l.Front(); e != nil; e = e.Next() {
			if c := e.Value.(*Conn); !c.spoke.Load() {
				all = append(all, c)
			}
		}
	}
	add(&s.idle)
	for _, from := range s.sources {
		add(&from.strangers)
	}
	return all
}

// ConnectionStats counts open connections, with the bounds in force.
type ConnectionStats struct {
	Admitted       int `json:"admitted"`
	AdmittedLimit  int `json:"admitted_limit"`
	Strangers      int `json:"strangers"` // without an admitted request so far, those that wait to be served included
	StrangersLimit int `json:"strangers_limit"`
}

func (s *connections) stats() ConnectionStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ConnectionStats{
		Admitted: s.admitted, AdmittedLimit: s.limit,
		Strangers:      s.network.strangers + s.network.parked + s.host.strangers + s.host.parked,
		StrangersLimit: 2 * (maxStrangers + maxParked),
	}
}
