package inbound

import (
	"container/list"
	"net"
	"net/netip"
	"time"

	"oauth-proxyd/internal/access"
)

const (
	// maxStrangers bounds the connections on which nothing was admitted yet, of sources that
	// never were: those from the network, and those from this host, each for itself.
	// maxStrangersPerSource bounds those of one address of the network.
	maxStrangers          = 128
	maxStrangersPerSource = 16
	// maxParked bounds the connections that wait to be among them. They cost a file
	// descriptor each, and are not read.
	maxParked = 1024
	// silentTime is how long a stranger without a whole request keeps its place against a new
	// connection of the same source. A client sends its request at once.
	silentTime = 250 * time.Millisecond
	// strangerTime is the same against connections that wait, and parkedTime how long they do.
	strangerTime = time.Second
	parkedTime   = headerReadTimeout
	janitorPace  = 250 * time.Millisecond
	// maxKnown bounds the sources that are remembered as admitted.
	maxKnown = 4096
)

// budget counts strangers and parked connections. Those from this host have one of their own:
// whatever comes from the network, its programs get in.
type budget struct{ strangers, parked int }

// source is where connections come from: an address, or a network of addresses that one
// host may use.
type source struct {
	addr      netip.Addr
	budget    *budget
	strangers list.List // of *Conn, the oldest first
	parked    list.List // likewise
}

// sourceOf is the address of TCP, and for IPv6 outside the tailnet its /64, of which a host
// has all addresses (RFC 4291 §2.5.4); the zero Addr for Unix sockets.
func sourceOf(remote net.Addr) netip.Addr {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr := access.Plain(tcp.AddrPort()).Addr()
	if addr.Is6() && !access.IsTailscale(addr) && !addr.IsLoopback() {
		prefix, _ := addr.Prefix(64) // valid for every IPv6 address
		return prefix.Addr()
	}
	return addr
}

// shared reports whether strangers to each other come from this address: it is that of every
// program on this host, and where there is no network device, tailscaled delivers all of its
// peers from there. The zero Addr is that of Unix sockets.
func shared(addr netip.Addr) bool {
	return !addr.IsValid() || addr == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || addr == netip.IPv6Loopback()
}

func (s *source) share() int {
	if shared(s.addr) {
		return maxStrangers
	}
	return maxStrangersPerSource
}

func (s *connections) from(addr netip.Addr) *source {
	if from := s.sources[addr]; from != nil {
		return from
	}
	from := &source{addr: addr, budget: &s.network}
	if shared(addr) {
		from.budget = &s.host
	}
	s.sources[addr] = from
	return from
}

// makeRoom reports whether there is room for one more stranger. At the bound, a source with
// more than the one who asks gives up its oldest: that of the most, and the oldest of those.
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
	oldest.evict()
	s.remove(oldest)
	return true
}

// displace reports whether a stranger of the source that sent no whole request gave its place
// to a new one.
func (s *connections) displace(from *source) bool {
	now := time.Now()
	for e := from.strangers.Front(); e != nil; e = e.Next() {
		switch c := e.Value.(*Conn); {
		case now.Sub(c.since) < silentTime:
			return false
		case !c.working && unread(c.Conn) <= 0: // a machine that is busy has not read yet what came
			c.evict()
			s.remove(c)
			return true
		}
	}
	return false
}

// begin makes a connection a stranger that is served.
func (s *connections) begin(from *source, c *Conn) {
	s.sources[from.addr] = from // it may have given up the only one that it had
	from.budget.strangers++
	c.place, c.element = placeStranger, from.strangers.PushBack(c)
	s.serve(c)
}

func (s *connections) park(from *source, c *Conn) {
	from.budget.parked++
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
		for from.parked.Len() > 0 && now.Sub(from.parked.Front().Value.(*Conn).since) >= parkedTime {
			c := from.parked.Front().Value.(*Conn)
			c.evict()
			s.remove(c)
		}
		for e := from.strangers.Front(); e != nil && from.parked.Len() > 0; {
			c, next := e.Value.(*Conn), e.Next()
			if now.Sub(c.since) < strangerTime {
				break
			}
			if !c.working {
				c.evict()
				s.remove(c)
			}
			e = next
		}
	}
	s.unpark()
	if s.network.parked+s.host.parked > 0 {
		s.janitor = time.AfterFunc(janitorPace, s.clean)
	}
}

// unpark serves those for whom there is room now.
func (s *connections) unpark() {
	if s.network.parked+s.host.parked == 0 {
		return
	}
	for _, from := range s.sources {
		_, known := s.known[from.addr]
		for from.parked.Len() > 0 {
			c := from.parked.Front().Value.(*Conn)
			room := from.budget.strangers < maxStrangers && from.strangers.Len() < from.share()
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
func (s *connections) take(from *source, c *Conn) {
	from.parked.Remove(c.element)
	from.budget.parked--
	c.place, c.element = placeNone, nil
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
