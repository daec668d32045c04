package inbound

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// spareConns are open connections beyond one for each request that may be in flight or wait, so
	// that /health and /metrics respond under full load.
	spareConns = 256
	// maxStrangers bounds the connections on which nothing was admitted yet, of sources that never
	// were: those from the network, and those from this host, each on its own.
	// maxStrangersPerSource bounds those of one address of the network.
	maxStrangers          = 128
	maxStrangersPerSource = 16
	// maxWaiting bounds the connections that wait to be among them. They cost a file descriptor
	// each, and are not read.
	maxWaiting = 1024
	// silentTime is how long a stranger without a whole request keeps its slot against a new
	// connection of the same source. A client sends its request at once.
	silentTime = 250 * time.Millisecond
	// strangerTime is the same against connections that wait, and waitTime how long they do.
	strangerTime = time.Second
	waitTime     = headerReadTimeout
	janitorPace  = 250 * time.Millisecond
	// maxKnown bounds the sources that are remembered as admitted.
	maxKnown = 4096
)

// connections bounds the open connections, so that whoever opens them cannot keep others out:
//
//	accepted ─┬──────────────────→ placeAdmitted   its source was admitted before
//	          ├→ placeStranger ──→ placeAdmitted   its first admitted request
//	          └→ placeWaiting ─┬→ placeStranger    there is room in the budget of strangers
//	                           └→ placeAdmitted    its source was admitted meanwhile
//
// Strangers have a small budget with a share for each source. Past the share connections wait: the
// first burst of a gateway waits for its first request to be judged, and is let in as a whole.
// Admitted connections are bounded by what may be in flight and wait; at the bound, the longest
// idle one gives way. Methods in lower case want mu to be held, but for those that lock it.
type connections struct {
	mu      sync.Mutex
	arrived sync.Cond // a connection is ready, or closed

	limit, admitted int                    // of placeAdmitted
	idle            list.List              // of *Conn: admitted, and without a request; the longest first
	network, host   budget                 // of the others
	sources         map[netip.Addr]*source // those with connections
	known           map[netip.Addr]bool    // admitted lately
	exempt          map[netip.AddrPort]bool
	janitor         *time.Timer // runs while connections wait

	closed bool
	empty  chan struct{} // closed when nothing is open after close
}

// place is what a connection counts as.
type place int

const (
	placeNone     place = iota // closed, or on its way in
	placeWaiting               // accepted, and waiting to be served
	placeStranger              // served, and nothing on it was admitted yet
	placeAdmitted
)

// budget counts strangers and connections that wait. Those from this host have one of their own:
// whatever comes from the network, its programs get in.
type budget struct{ strangers, waiting int }

// source is where connections come from: an address, or a network of addresses that one host may
// use.
type source struct {
	addr               netip.Addr
	budget             *budget
	strangers, waiting list.List // of *Conn, the oldest first
	admitted           int
}

func newConnections() *connections {
	s := &connections{
		limit: spareConns, sources: make(map[netip.Addr]*source), known: make(map[netip.Addr]bool),
		exempt: make(map[netip.AddrPort]bool), empty: make(chan struct{}),
	}
	s.arrived.L = &s.mu
	return s
}

// resize puts a new limit in force; who is in stays in. It locks mu.
func (s *connections) resize(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
}

// from is the source with an address.
func (s *connections) from(addr netip.Addr) *source {
	if from := s.sources[addr]; from != nil {
		return from
	}
	if shared(addr) {
		return &source{addr: addr, budget: &s.host}
	}
	return &source{addr: addr, budget: &s.network}
}

// hasShare reports whether the source may have one more stranger.
func (f *source) hasShare() bool {
	return f.strangers.Len() < maxStrangersPerSource || shared(f.addr) && f.strangers.Len() < maxStrangers
}

// arrive takes in a connection that was accepted. It locks mu.
func (s *connections) arrive(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.from(c.source)
	switch {
	case s.known[c.source]:
		s.letIn(c)
	case s.exempt[c.Access.Remote], s.closed, from.hasShare() && s.makeRoom(from), s.evictSilent(from, silentTime):
		s.move(c, placeStranger)
	case from.budget.waiting < maxWaiting:
		s.move(c, placeWaiting)
		if s.janitor == nil {
			s.janitor = time.AfterFunc(janitorPace, s.clean)
		}
	default:
		s.evict(c)
	}
}

// move changes what a connection counts as. One that is no longer on its way in, nor waits, is
// served.
func (s *connections) move(c *Conn, to place) {
	from, served := s.from(c.source), c.place > placeWaiting
	s.count(from, c, -1)
	c.place, c.since = to, time.Now()
	s.count(from, c, 1)
	if to > placeWaiting && !served {
		c.queue.ready = append(c.queue.ready, c)
		s.arrived.Broadcast()
	}
	s.sources[c.source] = from
	if from.strangers.Len()+from.waiting.Len()+from.admitted == 0 {
		delete(s.sources, c.source)
	}
}

// count adds a connection to what its place counts, or with -1 takes it out.
func (s *connections) count(from *source, c *Conn, n int) {
	var in *list.List
	switch c.place {
	case placeNone:
		return
	case placeWaiting:
		from.budget.waiting += n
		in = &from.waiting
	case placeStranger:
		from.budget.strangers += n
		in = &from.strangers
	case placeAdmitted:
		s.admitted += n
		from.admitted += n
		in = &s.idle
	}
	switch {
	case c.element != nil:
		in.Remove(c.element)
		c.element = nil
	case n > 0 && !(c.place == placeAdmitted && c.working):
		c.element = in.PushBack(c)
	}
}

// evict closes a connection to make room.
func (s *connections) evict(c *Conn) {
	_ = c.Conn.Close() // waits for nobody
	s.move(c, placeNone)
}

// letIn serves a connection of a source that was admitted.
func (s *connections) letIn(c *Conn) {
	if s.admitted >= s.limit && !s.evictIdle(c.source) {
		s.evict(c)
		return
	}
	s.move(c, placeAdmitted)
}

// evictIdle makes room for a connection from addr: it closes the one that has been idle longest of
// the source with the most connections. Where none of those is idle, that source gets no more, and
// others may go past the bound a little. It reports false if there is no room.
func (s *connections) evictIdle(addr netip.Addr) bool {
	var greedy *source
	for _, one := range s.sources {
		if greedy == nil || one.admitted > greedy.admitted {
			greedy = one
		}
	}
	for e := s.idle.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*Conn); c.source == greedy.addr {
			s.evict(c)
			return true
		}
	}
	return addr != greedy.addr && s.admitted < s.limit+spareConns
}

// makeRoom reports whether there is room for one more stranger. At the bound, a source with more
// than the one that asks gives up its oldest: that of the most, and the oldest of those.
func (s *connections) makeRoom(asks *source) bool {
	if asks.budget.strangers < maxStrangers {
		return true
	}
	var oldest *Conn
	most := asks.strangers.Len() + 1
	for _, one := range s.sources {
		if one.budget != asks.budget || one.strangers.Len() < most {
			continue
		}
		c := one.strangers.Front().Value.(*Conn)
		if oldest == nil || one.strangers.Len() > most || c.since.Before(oldest.since) {
			oldest, most = c, one.strangers.Len()
		}
	}
	if oldest == nil {
		return false
	}
	s.evict(oldest)
	return true
}

// evictSilent closes a stranger of the source that has sent no whole request for some time, and
// reports whether there was one. A machine that is busy may not have read yet what came.
func (s *connections) evictSilent(from *source, after time.Duration) bool {
	now := time.Now()
	for e := from.strangers.Front(); e != nil; e = e.Next() {
		switch c := e.Value.(*Conn); {
		case now.Sub(c.since) < after:
			return false
		case !c.working && queued(c.Conn, unix.SIOCINQ) <= 0:
			s.evict(c)
			return true
		}
	}
	return false
}

// clean ends the strangers that keep a slot from others and send nothing, and what waited too long.
// It locks mu.
func (s *connections) clean() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.janitor = nil
	for _, from := range s.sources {
		for e := from.waiting.Front(); e != nil && time.Since(e.Value.(*Conn).since) >= waitTime; e = from.waiting.Front() {
			s.evict(e.Value.(*Conn))
		}
		for from.waiting.Len() > 0 && s.evictSilent(from, strangerTime) {
		}
	}
	s.serveWaiting()
	if s.network.waiting+s.host.waiting > 0 {
		s.janitor = time.AfterFunc(janitorPace, s.clean)
	}
}

// serveWaiting serves the connections for which there is room now.
func (s *connections) serveWaiting() {
	if s.network.waiting+s.host.waiting == 0 {
		return
	}
	for _, from := range s.sources {
		for e := from.waiting.Front(); e != nil; e = from.waiting.Front() {
			c := e.Value.(*Conn)
			if s.known[from.addr] {
				s.letIn(c)
			} else if s.closed || from.budget.strangers < maxStrangers && from.hasShare() {
				s.move(c, placeStranger)
			} else {
				break
			}
		}
	}
}

// setWorking records whether a request of c is at work. It locks mu.
func (s *connections) setWorking(c *Conn, working bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.working = working
	if c.place != placeAdmitted || working == (c.element == nil) {
		return
	}
	if working {
		s.idle.Remove(c.element)
		c.element = nil
	} else {
		c.element = s.idle.PushBack(c)
	}
}

// admit records that a request of c was admitted by the access rules, so that it and what its
// source opens is no stranger any more. It locks mu.
func (s *connections) admit(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.place != placeStranger {
		return
	}
	if s.admitted >= s.limit {
		s.evictIdle(c.source)
	}
	s.move(c, placeAdmitted)
	if !shared(c.source) {
		for one := range s.known {
			if len(s.known) < maxKnown {
				break
			}
			delete(s.known, one)
		}
		s.known[c.source] = true
	}
	s.serveWaiting()
}

// refuse records that a request of c was not admitted. What its source opens is a stranger again.
// It locks mu.
func (s *connections) refuse(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, c.source)
}

// spare keeps the connection from remote out of the bounds: it is ours. It locks mu.
func (s *connections) spare(remote netip.AddrPort, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !on {
		delete(s.exempt, remote)
		return
	}
	s.exempt[remote] = true
	for e := s.from(remote.Addr()).waiting.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*Conn); c.Access.Remote == remote {
			s.move(c, placeStranger)
			return
		}
	}
}

// leave records that c is closed. It locks mu.
func (s *connections) leave(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.move(c, placeNone)
	s.serveWaiting()
	s.signalEmpty()
}

// close lets everybody in who was accepted: nobody else will serve them. It locks mu.
func (s *connections) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.serveWaiting()
	s.arrived.Broadcast()
	s.signalEmpty()
}

func (s *connections) signalEmpty() {
	if !s.closed || len(s.sources) > 0 {
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

// silent are the connections that wait for a request and have sent no byte. It locks mu.
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
		Strangers:      s.network.strangers + s.network.waiting + s.host.strangers + s.host.waiting,
		StrangersLimit: 2 * (maxStrangers + maxWaiting),
	}
}
