package inbound

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// evict closes a connection for lack of room. It is counted, and logged once a minute at most.
func (s *connections) evict(c *Conn) {
	if c.class == classAdmitted || s.known[c.source] {
		s.admittedClosed++
	} else {
		s.strangersClosed++
	}
	if now := time.Now(); now.Sub(s.logged) >= time.Minute {
		s.logged = now
		s.log.Warn("closed a connection for lack of room; further ones within a minute are counted, but not logged",
			"admitted_closed", s.admittedClosed, "strangers_closed", s.strangersClosed)
	}
	_ = c.Conn.Close() // does not block
	s.move(c, classNone)
}

// letIn serves a connection of a known source, or closes it if there is no room.
func (s *connections) letIn(c *Conn) {
	if s.admitted >= s.limit && !s.evictIdle(c.source) {
		s.evict(c)
		return
	}
	s.move(c, classAdmitted)
}

// evictIdle makes room for a connection from addr and reports whether there is room. It closes the
// longest idle connection of the source with the most connections. If that source has no idle one,
// it gets no more, and other sources may exceed the bound a little.
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

// makeRoom makes room for one more stranger of a source, and reports whether there is room. A
// source that has used up its share loses its oldest silent stranger. If the budget is used up, the
// source with the most strangers loses one. A stranger is silent if it has sent no whole request
// for the time after, or at all if its source has more strangers than the new one would have.
func (s *connections) makeRoom(from *source, after time.Duration) bool {
	if !from.hasShare() {
		return s.evictSilent(from, after)
	}
	if from.budget.strangers < maxStrangers {
		return true
	}
	var oldest *Conn
	mine := from.strangers.Len() + 1
	most := mine
	for _, other := range s.sources {
		n, silent := other.strangers.Len(), after
		if other.budget != from.budget || n < most {
			continue
		}
		if n > mine {
			silent = 0
		}
		if c := other.silent(silent); c != nil && (oldest == nil || n > most || c.since.Before(oldest.since)) {
			oldest, most = c, n
		}
	}
	if oldest == nil {
		return false
	}
	s.evict(oldest)
	return true
}

// silent returns the oldest stranger of the source that is at least that old and has sent no whole
// request, or nil. Bytes that a busy machine has not read yet count.
func (f *source) silent(after time.Duration) *Conn {
	now := time.Now()
	for e := f.strangers.Front(); e != nil; e = e.Next() {
		switch c := e.Value.(*Conn); {
		case now.Sub(c.since) < after:
			return nil
		case c.lingered.Load(), !c.working && queued(c.Conn, unix.SIOCINQ) <= 0:
			return c
		}
	}
	return nil
}

// evictSilent closes the oldest silent stranger of the source, and reports whether there was one.
func (s *connections) evictSilent(from *source, after time.Duration) bool {
	c := from.silent(after)
	if c != nil {
		s.evict(c)
	}
	return c != nil
}

// clean closes silent strangers that others wait for, and connections that waited too long. It
// locks mu.
func (s *connections) clean() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.janitor = nil
	for _, from := range s.sources {
		for e := from.waiting.Front(); e != nil && time.Since(e.Value.(*Conn).since) >= waitTime; e = from.waiting.Front() {
			s.evict(e.Value.(*Conn))
		}
		for s.isWanted(from) && s.evictSilent(from, silentTime) {
			s.serveWaiting()
		}
	}
	if s.network.waiting+s.host.waiting > 0 {
		s.janitor = time.AfterFunc(silentTime, s.clean)
	}
}

// isWanted reports whether connections wait for the room of a stranger of the source.
func (s *connections) isWanted(f *source) bool {
	return f.waiting.Len() > 0 || f.budget.waiting > 0 && f.budget.strangers >= maxStrangers
}

// serveWaiting serves the waiting connections for which there is room now.
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
				s.move(c, classStranger)
			} else {
				break
			}
		}
	}
}
