package proxy

import (
	"sync"
	"time"
)

const (
	refusalInterval = time.Minute // between two log lines about one source
	// maxRefusalSources is how many sources have lines of their own. The others share one, so that
	// a flood of addresses neither fills the log nor has us forget who was logged.
	maxRefusalSources = 256
)

// refusalLog bounds what senders whom access does not admit can make us log, whatever they send
// and whatever becomes of it: one line a minute for each source.
type refusalLog struct {
	mu      sync.Mutex
	sources map[string]*refusalNote
	others  refusalNote // of the sources for which there is no room
}

// refusalNote is what was logged of a source.
type refusalNote struct {
	logged     time.Time // zero: not yet
	suppressed int       // lines since
}

func newRefusalLog() *refusalLog { return &refusalLog{sources: make(map[string]*refusalNote)} }

// due reports whether a request of source is to be logged, and if so how many were not since the
// last that was.
func (l *refusalLog) due(source string) (suppressed int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	note := l.note(source, now)
	if !note.expired(now) {
		note.suppressed++
		return 0, false
	}
	suppressed = note.suppressed
	*note = refusalNote{logged: now}
	return suppressed, true
}

// note finds what was logged of source, or makes room for it. The caller holds mu.
func (l *refusalLog) note(source string, now time.Time) *refusalNote {
	if note, ok := l.sources[source]; ok {
		return note
	}
	if len(l.sources) >= maxRefusalSources {
		l.forgetExpired(now)
	}
	if len(l.sources) >= maxRefusalSources {
		return &l.others
	}
	note := &refusalNote{}
	l.sources[source] = note
	return note
}

// forgetExpired makes room. What was suppressed of the sources that it forgets goes into the next
// line about the others. The caller holds mu.
func (l *refusalLog) forgetExpired(now time.Time) {
	for source, note := range l.sources {
		if note.expired(now) {
			l.others.suppressed += note.suppressed
			delete(l.sources, source)
		}
	}
}

func (n *refusalNote) expired(now time.Time) bool { return now.Sub(n.logged) >= refusalInterval }
