package inbound

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"oauth-proxyd/internal/kernel"
)

// evict closes a connection for lack of room, and counts it.
func (s *connections) evict(c *Conn) {
	if c.class == classAdmitted || s.known[c.origin] {
		s.admittedClosed++
	} else {
		s.strangersClosed++
	}
	_ = c.Conn.Close() // does not block
	s.move(c, classNone)
}

// letIn serves a connection of a known origin, or closes it if there is no room.
func (s *connections) letIn(c *Conn) {
	if s.admitted >= s.limit && !s.evictIdle(c.origin) {
		s.evict(c)
		return
	}
	s.move(c, classAdmitted)
}

// evictIdle makes room for a connection from addr and reports whether there is room. It closes the
// longest idle connection of the origin with the most connections, the greediest. If the greediest
// origin is all busy, its new connections are closed; others may exceed the limit by spareConns.
func (s *connections) evictIdle(addr netip.Addr) bool {
	var greedy *bucket
	for _, one := range s.buckets {
		if greedy == nil || one.admitted > greedy.admitted {
			greedy = one
		}
	}
	if i := slices.IndexFunc(s.idle, func(c *Conn) bool { return c.origin == greedy.addr }); i >= 0 {
		s.evict(s.idle[i])
		return true
	}
	return addr != greedy.addr && s.admitted < s.limit+spareConns
}

// makeRoom makes room for one more stranger of an origin, and reports whether there is room. An
// origin that has used up its share loses a stranger that was silent for burstTime. If the budget
// is used up, the origin with the most connections loses its oldest stranger, at once if the origin
// has more than this one would have, and otherwise only if that was silent for burstTime.
func (s *connections) makeRoom(b *bucket) bool {
	if !b.hasShare() {
		return s.evictSilent(b, burstTime)
	}
	if b.budget.strangers < maxStrangers {
		return true
	}
	var oldest *Conn
	most := b.unadmitted() + 1
	for _, other := range s.buckets {
		n := other.unadmitted()
		if other.budget != b.budget || len(other.strangers) == 0 || n < most {
			continue
		}
		if c := other.strangers[0]; oldest == nil || n > most || c.since.Before(oldest.since) {
			oldest, most = c, n
		}
	}
	after := time.Duration(0)
	if most == b.unadmitted()+1 {
		after = burstTime
	}
	if oldest == nil || time.Since(oldest.since) < after || !oldest.silent() {
		return false
	}
	s.evict(oldest)
	return true
}

// silent reports whether c, a stranger, has sent no whole request. Unread bytes count as a request
// on its way, and so does a header for which no handler has started yet.
func (c *Conn) silent() bool {
	return c.lingered.Load() || !c.busy && kernel.Unread(c.Conn) <= 0 && !c.scan.pending()
}

// evictSilent closes the oldest stranger of the origin that was silent for at least after, and
// reports whether there was one.
func (s *connections) evictSilent(b *bucket, after time.Duration) bool {
	for _, c := range b.strangers {
		switch {
		case time.Since(c.since) < after:
			return false
		case c.silent():
			s.evict(c)
			return true
		}
	}
	return false
}

// evictWaiting closes the oldest waiting connection without a request, of the origin that has the
// most waiting.
func (s *connections) evictWaiting(in *budget) {
	var greedy *bucket
	for _, one := range s.buckets {
		if one.budget == in && (greedy == nil || len(one.waiting) > len(greedy.waiting)) {
			greedy = one
		}
	}
	i := slices.IndexFunc(greedy.waiting, func(c *Conn) bool { return !s.hasRequest(c) })
	s.evict(greedy.waiting[max(i, 0)])
}

// hasRequest reports whether the client of a waiting connection has sent a whole header, of up to
// the size of peeked.
func (s *connections) hasRequest(c *Conn) bool {
	n := kernel.Peek(c.Conn, s.peeked[:])
	return bytes.Contains(s.peeked[:n], []byte("\n\r\n"))
}

// clean serves waiting connections in place of silent strangers, first those that have sent a
// request, and closes connections that waited too long. It locks mu.
func (s *connections) clean() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.janitor = nil
	for _, b := range s.buckets {
		for len(b.waiting) > 0 && time.Since(b.waiting[0].since) >= waitTime {
			s.evict(b.waiting[0])
		}
		for _, c := range slices.Clone(b.waiting) {
			if s.hasRequest(c) && s.makeRoom(b) {
				s.move(c, classStranger)
			}
		}
		for s.isWanted(b) && s.evictSilent(b, silentTime) {
			s.serveWaiting()
		}
	}
	if s.network.waiting+s.host.waiting > 0 {
		s.janitor = time.AfterFunc(burstTime, s.clean)
	}
}

// isWanted reports whether connections wait for the room of a stranger of the origin.
func (s *connections) isWanted(b *bucket) bool {
	return len(b.waiting) > 0 || b.budget.waiting > 0 && b.budget.strangers >= maxStrangers
}

// serveWaiting serves the waiting connections for which there is room now.
func (s *connections) serveWaiting() {
	if s.network.waiting+s.host.waiting == 0 {
		return
	}
	for _, b := range s.buckets {
		for len(b.waiting) > 0 {
			c := b.waiting[0]
			if s.known[b.addr] {
				s.letIn(c)
			} else if s.closed || b.budget.strangers < maxStrangers && b.hasShare() {
				s.move(c, classStranger)
			} else {
				break
			}
		}
	}
}
