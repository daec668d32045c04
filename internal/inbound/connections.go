package inbound

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/kernel"
)

const (
	// spareConns is how many connections may be open beyond one for each request in flight or
	// waiting, so that /health and /metrics respond under full load.
	spareConns = 256
	// maxStrangers bounds the strangers being served; the network and this host may each have that
	// many. maxStrangersPerSource bounds those of one network address.
	maxStrangers          = 128
	maxStrangersPerSource = 16
	// maxWaiting bounds the connections that wait to become one of them. Each costs a file
	// descriptor, and none is read.
	maxWaiting = 1024
	// silentTime: silence after which a new arrival may evict a stranger. A client sends its
	// request at once.
	silentTime = 250 * time.Millisecond
	// strangerTime: silence after which a waiting connection may. A busy client opens many
	// connections before it sends on the first. waitTime is how long one waits to be served.
	strangerTime = time.Second
	waitTime     = headerReadTimeout
	// burstTime: silence after which the oldest of many strangers, each of another source, may be
	// evicted.
	burstTime = 25 * time.Millisecond
	// maxKnown bounds the admitted sources that are remembered.
	maxKnown = 4096
)

// connections bounds the open connections, so that no source can keep others out:
//
//	accepted ─┬──────────────────→ classAdmitted   its source was admitted before
//	          ├→ classStranger ──→ classAdmitted   its first admitted request
//	          └→ classWaiting ─┬→ classStranger    the budget of strangers has room
//	                           └→ classAdmitted    its source was admitted meanwhile
//
// Strangers have a small budget, with a share for each source. Connections beyond the share wait:
// the first burst of a gateway waits until its first request is admitted, and is then served as a
// whole. Admitted connections are bounded by the requests that may be in flight or wait; at the
// bound, the longest idle connection is closed. The caller holds mu, except for methods that say
// that they lock it.
type connections struct {
	mu      sync.Mutex
	arrived sync.Cond // a connection is ready, or closed

	limit, admitted int                    // of classAdmitted
	idle            []*Conn                // admitted and without a request; the longest idle first
	network, host   budget                 // of strangers
	sources         map[netip.Addr]*source // sources with open connections
	known           map[netip.Addr]bool    // sources that were admitted lately
	exempt          map[netip.AddrPort]bool
	janitor         *time.Timer // runs while connections wait

	ready     []*Conn // to be served
	accepting int     // listeners that may still accept a connection
	closed    bool
	empty     chan struct{} // closed when no connection is open, or accepted, after close

	admittedClosed, strangersClosed uint64 // by evict
}

// class says which budget a connection counts in.
type class int

const (
	classNone     class = iota // closed, or not yet counted
	classWaiting               // accepted, waiting to be served
	classStranger              // served, without an admitted request so far
	classAdmitted
)

// budget counts strangers and waiting connections. This host has a budget of its own, so that no
// flood from the network keeps its programs out.
type budget struct{ strangers, waiting int }

// source is an address, or a network of addresses that one host may use.
type source struct {
	addr               netip.Addr
	budget             *budget
	strangers, waiting []*Conn // the oldest first
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

// open records that one more listener accepts connections. It locks mu.
func (s *connections) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepting++
}

// ended records that a listener accepts no more. It locks mu.
func (s *connections) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepting--
	s.arrived.Broadcast()
	s.signalEmpty()
}

// resize sets a new limit and closes nothing. It locks mu.
func (s *connections) resize(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
}

// from returns the source of an address.
func (s *connections) from(addr netip.Addr) *source {
	if from := s.sources[addr]; from != nil {
		return from
	}
	if shared(addr) {
		return &source{addr: addr, budget: &s.host}
	}
	return &source{addr: addr, budget: &s.network}
}

// shared reports whether different senders use this address. Programs on this host use these, and a
// tailscaled without a network device delivers all its peers from there. The zero Addr stands for
// Unix sockets.
func shared(addr netip.Addr) bool {
	return !addr.IsValid() || addr == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || addr == netip.IPv6Loopback()
}

// hasShare reports whether the source's share has room for one more stranger.
func (f *source) hasShare() bool {
	return len(f.strangers) < maxStrangersPerSource || shared(f.addr) && len(f.strangers) < maxStrangers
}

// unadmitted returns how many connections the source has without an admitted request so far.
func (f *source) unadmitted() int { return len(f.strangers) + len(f.waiting) }

// arrive classifies an accepted connection. It locks mu.
func (s *connections) arrive(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.from(c.source)
	switch {
	case s.known[c.source]:
		s.letIn(c)
	case s.exempt[c.Access.Remote], s.closed, s.makeRoom(from, silentTime):
		s.move(c, classStranger)
	case from.budget.waiting < maxWaiting:
		s.move(c, classWaiting)
		if s.janitor == nil {
			s.janitor = time.AfterFunc(burstTime, s.clean)
		}
	case s.makeRoom(from, 0):
		s.move(c, classStranger)
	default:
		s.evict(c)
	}
}

// move changes the class of a connection. At its first class beyond classWaiting it is handed over
// to be served.
func (s *connections) move(c *Conn, to class) {
	from, served := s.from(c.source), c.class > classWaiting
	s.count(from, c, -1)
	c.class, c.since = to, time.Now()
	s.count(from, c, 1)
	if to > classWaiting && !served {
		s.ready = append(s.ready, c)
		s.arrived.Broadcast()
	}
	s.sources[c.source] = from
	if len(from.strangers)+len(from.waiting)+from.admitted == 0 {
		delete(s.sources, c.source)
	}
}

// count adds a connection to the counts and the list of its class (n = 1), or removes it (n = -1).
func (s *connections) count(from *source, c *Conn, n int) {
	var in *[]*Conn
	switch c.class {
	case classNone:
		return
	case classWaiting:
		from.budget.waiting += n
		in = &from.waiting
	case classStranger:
		from.budget.strangers += n
		in = &from.strangers
	case classAdmitted:
		s.admitted += n
		from.admitted += n
		in = &s.idle
	}
	if c.class == classAdmitted && c.working {
		return
	}
	if n > 0 {
		*in = append(*in, c)
	} else if i := slices.Index(*in, c); i >= 0 {
		*in = slices.Delete(*in, i, i+1)
	}
}

// setWorking records whether a handler has a request of c. It locks mu.
func (s *connections) setWorking(c *Conn, working bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.class != classAdmitted {
		c.working = working
		return
	}
	from := s.from(c.source)
	s.count(from, c, -1)
	c.working = working
	s.count(from, c, 1) // among the idle ones, or not
}

// admit records that the access rules admitted a request of c: neither c nor later connections of
// its source are strangers any more. It locks mu.
func (s *connections) admit(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.class != classStranger {
		return
	}
	if s.admitted >= s.limit {
		s.evictIdle(c.source)
	}
	s.move(c, classAdmitted)
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

// refuse records that a request of c was refused: later connections of its source are strangers
// again. It locks mu.
func (s *connections) refuse(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, c.source)
}

// setExempt says whether the connection from remote, which this process made, is exempt from the
// bounds. It locks mu.
func (s *connections) setExempt(remote netip.AddrPort, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !on {
		delete(s.exempt, remote)
		return
	}
	s.exempt[remote] = true
	waiting := s.from(access.Network(remote.Addr())).waiting
	if i := slices.IndexFunc(waiting, func(c *Conn) bool { return c.Access.Remote == remote }); i >= 0 {
		s.move(waiting[i], classStranger)
	}
}

// leave records that c is closed. It locks mu.
func (s *connections) leave(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.move(c, classNone)
	s.serveWaiting()
	s.signalEmpty()
}

// close serves all waiting connections, because no later process can. It locks mu.
func (s *connections) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.serveWaiting()
	s.arrived.Broadcast()
	s.signalEmpty()
}

func (s *connections) signalEmpty() {
	if !s.closed || s.accepting > 0 || len(s.sources) > 0 {
		return
	}
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}

// unused returns the connections that were opened ahead of need: no byte came, read or not. It
// locks mu.
func (s *connections) unused() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.idle)
	for _, from := range s.sources {
		all = append(all, from.strangers...)
	}
	return slices.DeleteFunc(all, func(c *Conn) bool { return c.received.Load() || kernel.Unread(c.Conn) > 0 })
}

// ConnectionStats counts the open connections, with their present bounds.
type ConnectionStats struct {
	Admitted       int `json:"admitted"`
	AdmittedLimit  int `json:"admitted_limit"`
	Strangers      int `json:"strangers"` // without an admitted request so far, including those that wait to be served
	StrangersLimit int `json:"strangers_limit"`
	// How many were closed for lack of room since the start.
	AdmittedClosed  uint64 `json:"admitted_closed"`
	StrangersClosed uint64 `json:"strangers_closed"`
}

func (s *connections) stats() ConnectionStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ConnectionStats{
		Admitted: s.admitted, AdmittedLimit: s.limit,
		Strangers:      s.network.strangers + s.network.waiting + s.host.strangers + s.host.waiting,
		StrangersLimit: 2 * (maxStrangers + maxWaiting),
		AdmittedClosed: s.admittedClosed, StrangersClosed: s.strangersClosed,
	}
}
