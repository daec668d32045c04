package inbound

import (
	"bytes"
	"cmp"
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
	if s.total(classAdmitted) >= s.limit && !s.evictIdle(c.origin) {
		s.evict(c)
		return
	}
	s.move(c, classAdmitted)
}

// evictIdle makes room for a connection from addr and reports whether there is room. It closes the
// longest idle connection. If all are busy, new connections of the origin with the most are closed,
// and others may exceed the limit by spareConns.
func (s *connections) evictIdle(addr netip.Addr) bool {
	greediest := 0
	var longest *Conn
	var since time.Time
	for _, b := range s.buckets {
		if b.addr != addr {
			greediest = max(greediest, b.counts[classAdmitted])
		}
		for _, c := range b.open {
			if c.class != classAdmitted {
				continue
			}
			ended, idle := c.scan.idleSince()
			if idle && (longest == nil || ended.Before(since)) && kernel.Unread(c.Conn) <= 0 {
				longest, since = c, ended
			}
		}
	}
	if longest != nil {
		s.evict(longest)
		return true
	}
	return s.bucket(addr).counts[classAdmitted] < greediest && s.total(classAdmitted) < s.limit+s.most(spareConns)
}

// makeRoom makes room for one more stranger of an origin, and reports whether there is room. If the
// budget is used up, but not the share of the origin, another origin loses a silent stranger.
func (s *connections) makeRoom(b *bucket, sent bool) bool {
	if s.hasRoom(b, sent) {
		return true
	}
	own := b.counts[classStranger] + 1
	other := s.greedier(b, own)
	if other == nil || !s.hasShare(b, sent) {
		return false
	}
	after := burstTime
	if other.unadmitted() > own {
		after = 0
	}
	return s.evictSilent(other, after)
}

// makeRoomForRequest makes room for a waiting connection that has sent its request, and reports
// whether there is room. If need be, its own origin loses a silent stranger.
func (s *connections) makeRoomForRequest(b *bucket, c *Conn) bool {
	return s.makeRoom(b, true) || time.Since(c.requested) >= requestTime && s.evictSilent(b, silentTime)
}

// greedier returns, of the other origins in the budget of b, the one with the most connections, if
// those are at least as many as least; nil if there is none. Among equals it is the one with the
// oldest stranger.
func (s *connections) greedier(b *bucket, least int) (greedy *bucket) {
	var oldest *Conn
	for _, other := range s.buckets {
		n := other.unadmitted()
		if other == b || other.budget != b.budget || n < least {
			continue
		}
		if c := other.oldest(classStranger, anyConn); c != nil && (oldest == nil || n > least || c.since.Before(oldest.since)) {
			greedy, oldest, least = other, c, n
		}
	}
	return greedy
}

// evictSilent closes the oldest stranger of an origin that was silent for at least after, and
// reports whether there was one.
func (s *connections) evictSilent(b *bucket, after time.Duration) bool {
	c := b.oldest(classStranger, func(c *Conn) bool { return time.Since(c.since) >= after && c.silent() })
	if c != nil {
		s.evict(c)
	}
	return c != nil
}

// silent reports whether c, a stranger, has sent no whole request. Unread bytes count as a request
// on its way.
func (c *Conn) silent() bool { return !c.scan.hasRequest() && kernel.Unread(c.Conn) <= 0 }

// evictOldest closes the oldest connection of a class, of the origin that has most of them; if
// possible, one that waits without a request after burstTime. It asks the kernel nothing, because a
// flood calls it for each connection.
func (s *connections) evictOldest(in *counts, of class) {
	var greedy *bucket
	for _, one := range s.buckets {
		if one.budget == in && (greedy == nil || one.counts[of] > greedy.counts[of]) {
			greedy = one
		}
	}
	late := time.Now().Add(-burstTime)
	c := greedy.oldest(of, func(c *Conn) bool { return c.requested.IsZero() && c.since.Before(late) })
	s.evict(cmp.Or(c, greedy.oldest(of, anyConn)))
}

// hasRequest reports whether the client of a waiting connection has sent a whole header, or as much
// as peeked holds.
func (s *connections) hasRequest(c *Conn) bool {
	if !c.requested.IsZero() {
		return true
	}
	n := kernel.Peek(c.Conn, s.peeked[:])
	sent := s.peeked[:n]
	if n == len(s.peeked) || bytes.Contains(sent, []byte("\n\r\n")) || bytes.Contains(sent, []byte("\n\n")) {
		c.requested = time.Now()
		return true
	}
	return false
}

// clean frees the room of strangers that have left. Then it serves the waiting connections that
// have sent a request, in place of silent strangers if need be, and then others for which there is
// room. It closes those that waited too long. It locks mu: a pass over 1,024 connections with 8 kB
// of a header each took 3 ms.
func (s *connections) clean() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.janitor = nil
	s.network[classSpent] = 0
	var waiting []*bucket
	for addr, b := range s.buckets {
		b.counts[classSpent] = 0
		for _, c := range slices.Clone(b.open) {
			if c.class == classWaiting && !s.hasRequest(c) && time.Since(c.since) >= waitTime {
				s.evict(c)
			}
		}
		if b.counts[classWaiting] > 0 {
			waiting = append(waiting, b)
		} else if len(b.open) == 0 {
			delete(s.buckets, addr)
		}
	}
	s.serveRequests(waiting)
	s.serveWaiting()
	if s.total(classWaiting) > 0 {
		s.cleanLater()
	}
}

// serveRequests serves waiting connections that have sent a request, one of each origin after the
// other. The origins with the fewest connections come first.
func (s *connections) serveRequests(waiting []*bucket) {
	slices.SortFunc(waiting, func(a, b *bucket) int {
		return cmp.Or(cmp.Compare(a.unadmitted(), b.unadmitted()), a.open[0].since.Compare(b.open[0].since))
	})
	full := make(map[*counts]bool) // budgets
	for len(waiting) > 0 {
		waiting = slices.DeleteFunc(waiting, func(b *bucket) bool {
			c := b.oldest(classWaiting, hasRequested)
			if c == nil || full[b.budget] {
				return true
			}
			if !s.makeRoomForRequest(b, c) {
				full[b.budget] = s.hasShare(b, true)
				return true
			}
			s.move(c, classStranger)
			return false
		})
	}
}

// serveNext serves the next waiting connection of an origin if it has sent its request and there is
// room. The others wait for clean.
func (s *connections) serveNext(b *bucket) {
	if b.counts[classWaiting] == 0 || s.known[b.addr] || !s.hasRoom(b, true) {
		return
	}
	if next := b.nextWaiting(); s.hasRequest(next) {
		s.move(next, classStranger)
	}
}

// nextWaiting returns the waiting connection that is served next: the oldest that is known to have
// sent a request, or else the oldest. One must wait.
func (b *bucket) nextWaiting() *Conn {
	return cmp.Or(b.oldest(classWaiting, hasRequested), b.oldest(classWaiting, anyConn))
}

// serveWaiting serves the waiting connections for which there is room now.
func (s *connections) serveWaiting() {
	for _, b := range s.buckets {
		for b.counts[classWaiting] > 0 && (s.closed || s.known[b.addr] || s.hasRoom(b, false)) {
			c := b.nextWaiting()
			if s.known[b.addr] {
				s.letIn(c)
			} else {
				s.move(c, classStranger)
			}
		}
	}
}
