package proxy

import (
	"container/list"
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxStrangers bounds the connections on which nothing was admitted yet, and of
	// sources that never were; maxStrangersPerSource those of one source.
	maxStrangers          = 128
	maxStrangersPerSource = 16
	// maxParked bounds the connections that wait to be among them. They cost a file
	// descriptor each, and are not read.
	maxParked = 1024
	// strangerTime is how long a stranger that sends nothing keeps its place while
	// others wait for it, and parkedTime how long they wait.
	strangerTime = time.Second
	parkedTime   = headerReadTimeout
	janitorPace  = 250 * time.Millisecond
	// maxKnown bounds the sources that are remembered as admitted.
	maxKnown = 4096
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
	idle     list.List // of *clientConn: admitted, and without a request; the longest first

	strangers int
	sources   map[netip.Addr]*source // those with strangers or parked connections
	parked    int
	janitor   *time.Timer // runs while something is parked

	known  map[netip.Addr]*list.Element // admitted lately
	order  list.List                    // of netip.Addr: known, the oldest first
	exempt map[netip.AddrPort]bool      // the watchdog's own connections

	closed bool
	empty  chan struct{} // closed when nothing is open after close
}

// source is where connections come from: an address, or a network of addresses that one
// host may use.
type source struct {
	addr      netip.Addr
	strangers list.List // of *clientConn, the oldest first
	parked    list.List // likewise
}

func newConnections() *connections {
	s := &connections{
		limit: spareConns, sources: make(map[netip.Addr]*source), known: make(map[netip.Addr]*list.Element),
		exempt: make(map[netip.AddrPort]bool), empty: make(chan struct{}),
	}
	s.arrived.L = &s.mu
	return s
}

// sourceOf is the address of TCP, and for IPv6 outside the tailnet its /64, of which a host
// has all addresses (RFC 4291 §2.5.4); the zero Addr for Unix sockets.
func sourceOf(remote net.Addr) netip.Addr {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr := plain(tcp.AddrPort()).Addr()
	if addr.Is6() && !isTailscale(addr) && !addr.IsLoopback() {
		prefix, _ := addr.Prefix(64) // valid for every IPv6 address
		return prefix.Addr()
	}
	return addr
}

// shared reports whether strangers to each other come from this address: without a network
// device, tailscaled delivers all of its peers from loopback.
func (s *source) shared() bool { return !s.addr.IsValid() || s.addr.IsLoopback() }

func (s *source) share() int {
	if s.shared() {
		return maxStrangers
	}
	return maxStrangersPerSource
}

// resize puts a new limit in force; who is in stays in.
func (s *connections) resize(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
}

// arrive takes in a connection that was accepted.
func (s *connections) arrive(c *clientConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	remote, _ := netip.ParseAddrPort(c.RemoteAddr().String()) // invalid for Unix sockets
	if _, known := s.known[c.source]; known {
		s.letIn(c)
		return
	}
	from := s.sources[c.source]
	if from == nil {
		from = &source{addr: c.source}
		s.sources[c.source] = from
	}
	switch {
	case s.exempt[remote], s.closed, from.strangers.Len() < from.share() && s.makeRoom(from):
		s.begin(from, c)
	case s.parked < maxParked:
		s.park(from, c)
	default:
		s.tidy(from)
		c.evict()
	}
}

// makeRoom reports whether there is room for one more stranger. At the bound, the source
// with the most gives up its oldest, unless that is the one who asks.
func (s *connections) makeRoom(asks *source) bool {
	if s.strangers < maxStrangers {
		return true
	}
	most := asks
	for _, one := range s.sources {
		if one.strangers.Len() > most.strangers.Len() {
			most = one
		}
	}
	if most == asks {
		return false
	}
	oldest := most.strangers.Front().Value.(*clientConn)
	oldest.evict()
	s.remove(oldest)
	return true
}

// begin makes a connection a stranger that is served.
func (s *connections) begin(from *source, c *clientConn) {
	s.strangers++
	c.place, c.element = placeStranger, from.strangers.PushBack(c)
	s.serve(c)
}

// letIn makes a connection an admitted one that is served.
func (s *connections) letIn(c *clientConn) {
	if s.admitted >= s.limit {
		s.evictIdle()
	}
	s.admitted++
	c.place, c.element = placeAdmitted, s.idle.PushBack(c)
	s.serve(c)
}

func (s *connections) serve(c *clientConn) {
	c.queue.ready = append(c.queue.ready, c)
	s.arrived.Broadcast()
}

// evictIdle closes the connection that has been idle longest.
func (s *connections) evictIdle() {
	if front := s.idle.Front(); front != nil {
		c := front.Value.(*clientConn)
		c.evict()
		s.remove(c)
	}
}

func (s *connections) park(from *source, c *clientConn) {
	s.parked++
	c.place, c.element, c.since = placeParked, from.parked.PushBack(c), time.Now()
	if s.janitor == nil {
		s.janitor = time.AfterFunc(janitorPace, s.clean)
	}
}

// clean ends the strangers that keep a place from others and send nothing, and what was
// parked too long.
func (s *connections) clean() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.janitor = nil
	now := time.Now()
	for _, from := range s.sources {
		for from.parked.Len() > 0 && now.Sub(from.parked.Front().Value.(*clientConn).since) >= parkedTime {
			c := from.parked.Front().Value.(*clientConn)
			c.evict()
			s.remove(c)
		}
		for e := from.strangers.Front(); e != nil && from.parked.Len() > 0; {
			c, next := e.Value.(*clientConn), e.Next()
			if now.Sub(c.since) < strangerTime {
				break
			}
			c.evict()
			s.remove(c)
			e = next
		}
	}
	s.unpark()
	if s.parked > 0 {
		s.janitor = time.AfterFunc(janitorPace, s.clean)
	}
}

// unpark serves those for whom there is room now.
func (s *connections) unpark() {
	if s.parked == 0 {
		return
	}
	for _, from := range s.sources {
		_, known := s.known[from.addr]
		for from.parked.Len() > 0 {
			c := from.parked.Front().Value.(*clientConn)
			room := s.strangers < maxStrangers && from.strangers.Len() < from.share()
			if !known && !room && !s.closed {
				break
			}
			s.take(from, c)
			if c.since = time.Now(); known {
				s.letIn(c)
			} else {
				s.begin(from, c)
			}
		}
		s.tidy(from)
	}
}

// take takes a parked connection out.
func (s *connections) take(from *source, c *clientConn) {
	from.parked.Remove(c.element)
	s.parked--
	c.place, c.element = placeNone, nil
}

// busy notes that a request of c is at work.
func (s *connections) busy(c *clientConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.place == placeAdmitted && c.element != nil {
		s.idle.Remove(c.element)
		c.element = nil
	}
}

// rest notes that c waits for its next request.
func (s *connections) rest(c *clientConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.place == placeAdmitted && c.element == nil {
		c.element = s.idle.PushBack(c)
	}
}

// admit notes that a request of c was admitted by the access rules, so that it and what its
// source opens is no stranger any more.
func (s *connections) admit(c *clientConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.place != placeStranger {
		return
	}
	s.remove(c)
	if s.admitted >= s.limit {
		s.evictIdle()
	}
	s.admitted++
	c.place = placeAdmitted // and at work, so not idle
	if from := (&source{addr: c.source}); !from.shared() {
		s.remember(c.source)
	}
	s.unpark()
}

func (s *connections) remember(addr netip.Addr) {
	if _, ok := s.known[addr]; ok {
		return
	}
	if len(s.known) >= maxKnown {
		s.forget(s.order.Front().Value.(netip.Addr))
	}
	s.known[addr] = s.order.PushBack(addr)
}

func (s *connections) forget(addr netip.Addr) {
	if e, ok := s.known[addr]; ok {
		s.order.Remove(e)
		delete(s.known, addr)
	}
}

// refuse notes that a request of c was not admitted. What its source opens is a stranger
// again.
func (s *connections) refuse(c *clientConn) {
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
		if c := e.Value.(*clientConn); c.RemoteAddr().String() == remote.String() {
			s.take(from, c)
			s.begin(from, c)
			return
		}
	}
}

// leave notes that c is closed.
func (s *connections) leave(c *clientConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(c)
	s.unpark()
	s.signalEmpty()
}

// remove takes c out of the counts, once. The caller holds mu.
func (s *connections) remove(c *clientConn) {
	from := s.sources[c.source]
	switch c.place {
	case placeAdmitted:
		s.admitted--
		if c.element != nil {
			s.idle.Remove(c.element)
		}
	case placeStranger:
		s.strangers--
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
	if !s.closed || s.admitted+s.strangers+s.parked > 0 {
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
func (s *connections) silent() []*clientConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*clientConn
	add := func(l *list.List) {
		for e := l.Front(); e != nil; e = e.Next() {
			if c := e.Value.(*clientConn); !c.spoke.Load() {
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
		Strangers: s.strangers + s.parked, StrangersLimit: maxStrangers + maxParked,
	}
}
