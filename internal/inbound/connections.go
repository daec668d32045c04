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
	// maxStrangers bounds the strangers from the network that are served, and also those from this
	// host. maxStrangersPerOrigin bounds those of one network address.
	maxStrangers          = 128
	maxStrangersPerOrigin = 16
	// sentStrangers is how many more strangers of this host are served; see hasRoom.
	sentStrangers = 32
	// maxLingering bounds, likewise, the connections that are open only for the client to read the
	// last response.
	maxLingering = 128
	// maxWaiting bounds, likewise, the connections that wait to be served. Each costs a file
	// descriptor, and none is read.
	maxWaiting = 1024
	// waitTime is how long a connection waits to be served.
	waitTime = headerReadTimeout
	// burstTime is how often clean runs. See evict for what else it bounds, with the next two.
	burstTime = 25 * time.Millisecond
	// silentTime is what a busy client may need that opens many connections before it sends on the
	// first. requestTime is what handlers need to judge a thousand requests.
	silentTime  = 250 * time.Millisecond
	requestTime = 2 * burstTime
	// maxKnown bounds the admitted origins that are remembered.
	maxKnown = 4096

	// Descriptors is how many file descriptors the connections need that have no request in flight
	// or waiting.
	Descriptors = 2*(maxStrangers+sentStrangers+maxLingering+maxWaiting) + 2*spareConns
)

// connections bounds the open connections, so that no origin can keep others out:
//
//	accepted ─┬──────────────────→ classAdmitted   its origin was admitted before
//	          ├→ classStranger ──→ classAdmitted   its first admitted request
//	          └→ classWaiting ─┬→ classStranger    the budget of strangers has room
//	                           └→ classAdmitted    its origin was admitted meanwhile
//	a stranger or admitted ────→ classLingering  its last response is written
//
// Strangers have a small budget, with a share for each origin. Connections beyond the share wait:
// the first burst of a gateway waits until its first request is admitted, and is then served as a
// whole. Where many senders share an address, those that have sent a request are served first.
// Admitted connections are bounded by the requests that may be in flight or wait. At each bound,
// evict says which connection is closed. The caller holds mu, except for methods that say that they
// lock it.
type connections struct {
	mu      sync.Mutex
	arrived sync.Cond // a connection is ready, or closed

	scale         float64                // of the bounds above: below 1 with too few file descriptors
	limit         int                    // of admitted connections
	network, host counts                 // this host has a budget of its own, which no flood from the network uses up
	buckets       map[netip.Addr]*bucket // origins with open connections
	known         map[netip.Addr]bool    // origins that were admitted lately
	exempt        map[netip.AddrPort]bool
	janitor       *time.Timer   // runs while connections wait, or room is spent
	peeked        [8 << 10]byte // unread bytes of a waiting connection

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
	classLingering // of either, with its last response
	classSpent     // not a connection: the room of a stranger that has left, until the next clean
)

// counts has the number of connections of each class, except for classNone.
type counts [classSpent + 1]int

// bucket has the connections of an origin: an address, or a network of addresses that one sender
// may have.
type bucket struct {
	addr   netip.Addr
	budget *counts
	counts counts
	open   []*Conn // the one that has its class longest is first
}

func newConnections() *connections {
	s := &connections{
		scale: 1, limit: spareConns, buckets: make(map[netip.Addr]*bucket), known: make(map[netip.Addr]bool),
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

// resize sets new limits and closes nothing. It locks mu.
func (s *connections) resize(requests int, scale float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scale = scale
	s.limit = requests + s.scaled(spareConns)
}

func (s *connections) scaled(bound int) int { return max(1, int(float64(bound)*s.scale)) }

func (s *connections) bucket(addr netip.Addr) *bucket {
	if b := s.buckets[addr]; b != nil {
		return b
	}
	if shared(addr) {
		return &bucket{addr: addr, budget: &s.host}
	}
	return &bucket{addr: addr, budget: &s.network}
}

// shared reports whether different senders use this address. Programs on this host use these, and a
// tailscaled without a network device delivers all its peers from there. The zero Addr stands for
// Unix sockets.
func shared(addr netip.Addr) bool {
	return !addr.IsValid() || addr == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || addr == netip.IPv6Loopback()
}

// oldest returns the first open connection of the class for which match, if not nil, holds; or nil.
func (b *bucket) oldest(of class, match func(*Conn) bool) *Conn {
	i := slices.IndexFunc(b.open, func(c *Conn) bool { return c.class == of && (match == nil || match(c)) })
	if i < 0 {
		return nil
	}
	return b.open[i]
}

func (s *connections) total(of class) int { return s.network[of] + s.host[of] }

// arrive classifies an accepted connection. It locks mu.
func (s *connections) arrive(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bucket(c.origin)
	switch {
	case s.known[c.origin]:
		s.letIn(c)
	case s.exempt[c.Sender.Remote], s.closed, b.counts[classWaiting] == 0 && s.makeRoom(b, false):
		s.move(c, classStranger)
	default:
		s.move(c, classWaiting)
		if b.budget[classWaiting] > s.scaled(maxWaiting) {
			s.evictOldest(b.budget, classWaiting)
		}
		s.cleanLater()
	}
}

// move changes the class of a connection, or makes it the latest of its class. At its first class
// beyond classWaiting it is handed over to be served.
func (s *connections) move(c *Conn, to class) {
	b, from := s.bucket(c.origin), c.class
	if i := slices.Index(b.open, c); i >= 0 {
		b.open = slices.Delete(b.open, i, i+1)
	}
	b.counts[from]--
	b.budget[from]--
	c.class, c.since = to, time.Now()
	b.counts[to]++
	b.budget[to]++
	if to != classNone {
		b.open = append(b.open, c)
	}
	s.buckets[c.origin] = b
	if len(b.open) == 0 && b.counts[classSpent] == 0 {
		delete(s.buckets, c.origin)
	}
	if to > classWaiting && from <= classWaiting {
		s.ready = append(s.ready, c)
		s.arrived.Broadcast()
	}
}

// admit records that the access rules admitted a request of c: neither c nor later connections of
// its origin are strangers any more. It locks mu.
func (s *connections) admit(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.class != classStranger {
		return
	}
	if s.total(classAdmitted) >= s.limit {
		s.evictIdle(c.origin)
	}
	s.move(c, classAdmitted)
	if !shared(c.origin) {
		for one := range s.known {
			if len(s.known) < maxKnown {
				break
			}
			delete(s.known, one)
		}
		s.known[c.origin] = true
	}
	s.serveWaiting()
}

// refuse records that a request of c was refused: later connections of its origin are strangers
// again. It locks mu.
func (s *connections) refuse(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, c.origin)
}

// setExempt does what [Server.Exempt] says. It locks mu.
func (s *connections) setExempt(remote netip.AddrPort, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !on {
		delete(s.exempt, remote)
		return
	}
	s.exempt[remote] = true
	b := s.bucket(access.Network(remote.Addr()))
	if c := b.oldest(classWaiting, func(c *Conn) bool { return c.Sender.Remote == remote }); c != nil {
		s.move(c, classStranger)
	}
}

// lingers records that the last response of c is written. It locks mu.
func (s *connections) lingers(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.class == classNone {
		return // it was closed for lack of room
	}
	s.finish(c, classLingering)
	if in := s.bucket(c.origin).budget; in[classLingering] > s.scaled(maxLingering) {
		s.evictOldest(in, classLingering)
	}
}

// leave records that c is closed. It locks mu.
func (s *connections) leave(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finish(c, classNone)
	s.signalEmpty()
}

// finish takes c from those being served. On this host, its room is for a waiting connection at
// once. In the network, the room of a stranger is not free until the next clean, so that a flood of
// refused requests leaves the processors to others.
func (s *connections) finish(c *Conn, to class) {
	b := s.bucket(c.origin)
	if c.class == classStranger && b.budget == &s.network {
		b.counts[classSpent]++
		b.budget[classSpent]++
		s.cleanLater()
	}
	s.move(c, to)
	s.serveWaitingOf(b)
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
	open := s.total(classWaiting) + s.total(classStranger) + s.total(classAdmitted) + s.total(classLingering)
	if !s.closed || s.accepting > 0 || open > 0 {
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
	var all []*Conn
	for _, b := range s.buckets {
		all = append(all, b.open...)
	}
	return slices.DeleteFunc(all, func(c *Conn) bool { return c.received.Load() || kernel.Unread(c.Conn) > 0 })
}

// ConnectionStats counts the open connections, with their present bounds.
type ConnectionStats struct {
	Admitted       int `json:"admitted"`
	AdmittedLimit  int `json:"admitted_limit"`
	Strangers      int `json:"others"` // without an admitted request so far, including those that wait to be served
	StrangersLimit int `json:"others_limit"`
	// How many were closed for lack of room since the start.
	AdmittedClosed  uint64 `json:"admitted_closed"`
	StrangersClosed uint64 `json:"others_closed"`
}

// stats counts them. It locks mu.
func (s *connections) stats() ConnectionStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ConnectionStats{
		Admitted: s.total(classAdmitted), AdmittedLimit: s.limit,
		Strangers:      s.total(classStranger) + s.total(classWaiting),
		StrangersLimit: 2*(s.scaled(maxStrangers)+s.scaled(maxWaiting)) + s.scaled(sentStrangers),
		AdmittedClosed: s.admittedClosed, StrangersClosed: s.strangersClosed,
	}
}
