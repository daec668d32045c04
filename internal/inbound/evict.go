package inbound

import (
	"cmp"
	"net/netip"
	"time"

	"oauth-proxyd/internal/kernel"
)

// evict closes a connection for lack of room, and counts it. Which one gives way to a new one:
//
//	class     gives way                                              chosen by
//	admitted  the longest idle one; if all are busy, see there       evictIdle
//	stranger  a silent one of the other origin with the most         makeRoom
//	            connections; if that has only as many as the new
//	            one's would have, one that was silent for burstTime
//	          a silent one of the same origin, after silentTime, if  makeRoomForRequest
//	            the new one has waited with its request for
//	            requestTime
//	waiting   of the origin with the most, the oldest; if possible,  evictOldest
//	            one that has sent no request for burstTime
//	lingering of the origin with the most, the oldest                evictOldest
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

// evictIdle makes room for an admitted connection from addr and reports whether there is room. It
// closes the longest idle connection. If all are busy, new connections of the origin with the most
// are closed, and others may exceed the limit by spareConns.
func (s *connections) evictIdle(addr netip.Addr) bool {
	if c := s.longestIdle(); c != nil {
		s.evict(c)
		return true
	}
	greediest := 0
	for _, b := range s.buckets {
		if b.addr != addr {
			greediest = max(greediest, b.counts[classAdmitted])
		}
	}
	return s.bucket(addr).counts[classAdmitted] < greediest && s.total(classAdmitted) < s.limit+s.scaled(spareConns)
}

// longestIdle returns the admitted connection that has been idle for longest, or nil.
func (s *connections) longestIdle() (longest *Conn) {
	var since time.Time
	for _, b := range s.buckets {
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
	return longest
}

// strangers returns how many strangers there are, with those whose room is not free yet.
func (n *counts) strangers() int { return n[classStranger] + n[classSpent] }

// hasRoom reports whether there is room for one more stranger of an origin. A connection that waits
// with its request has more room, so that silent ones of its own origin need not leave first. An
// address that is not shared needs only one more: if its request is admitted, all are served.
//
//	                          network   one origin of it   this host
//	new connection            128       16                 128
//	sent: waits with request  128       17                 160
func (s *connections) hasRoom(b *bucket, sent bool) bool {
	most := s.scaled(maxStrangers)
	if sent && shared(b.addr) {
		most += s.scaled(sentStrangers)
	}
	return b.budget.strangers() < most && s.hasShare(b, sent)
}

// hasShare reports whether the share of an origin has room. A shared address has all of its budget.
func (s *connections) hasShare(b *bucket, sent bool) bool {
	most := s.scaled(maxStrangersPerOrigin)
	if sent {
		most++
	}
	return shared(b.addr) || b.counts.strangers() < most
}

// makeRoom makes room for one more stranger of an origin, and reports whether there is room. If the
// budget is used up, but not the share of the origin, another origin loses a silent stranger.
func (s *connections) makeRoom(b *bucket, sent bool) bool {
	if room := s.hasRoom(b, sent); room || !s.hasShare(b, sent) {
		return room
	}
	own := b.counts[classStranger] + 1
	other := s.greedier(b, own)
	if other == nil {
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

// unadmitted returns how many connections the origin has without an admitted request so far.
func (b *bucket) unadmitted() int { return b.counts[classStranger] + b.counts[classWaiting] }

// greedier returns the other origin in the budget of b with the most connections, or nil if no
// other has as many as least. Among equals it is the one with the oldest stranger.
func (s *connections) greedier(b *bucket, least int) (greedy *bucket) {
	var oldest *Conn
	for _, other := range s.buckets {
		n := other.unadmitted()
		if other == b || other.budget != b.budget || n < least {
			continue
		}
		if c := other.oldest(classStranger, nil); c != nil && (oldest == nil || n > least || c.since.Before(oldest.since)) {
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

// evictOldest closes a waiting or lingering connection. It asks the kernel nothing, because a flood
// calls it for each connection.
func (s *connections) evictOldest(in *counts, of class) {
	var greedy *bucket
	for _, one := range s.buckets {
		if one.budget == in && (greedy == nil || one.counts[of] > greedy.counts[of]) {
			greedy = one
		}
	}
	late := time.Now().Add(-burstTime)
	c := greedy.oldest(of, func(c *Conn) bool { return !c.sentRequest() && c.since.Before(late) })
	s.evict(cmp.Or(c, greedy.oldest(of, nil)))
}
