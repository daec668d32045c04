package access

import (
	"sync"
	"time"
)

const (
	denialInterval = time.Minute // between two log lines about one source
	// maxDenialSources is how many sources have lines of their own. The others share one, so that
	// a flood of addresses neither fills the log nor has us forget who was logged.
	maxDenialSources = 256
)

// DenialLog bounds what senders whom access does not admit can make us log, whatever they send
// and whatever becomes of it: one line a minute for each source.
type DenialLog struct {
	mu      sync.Mutex
	sources map[string]*denial
	others  denial // of the sources for which there is no room
}

// denial is what was logged of a source.
type denial struct {
	logged     time.Time // zero: not yet
	suppressed int       // lines since
}

// NewDenialLog makes one that has logged nothing yet.
func NewDenialLog() *DenialLog { return &DenialLog{sources: make(map[string]*denial)} }

// Due reports whether a request of source is to be logged, and if so how many were not since the
// last that was.
func (l *DenialLog) Due(source string) (suppressed int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	note := l.note(source, now)
	if !note.expired(now) {
		note.suppressed++
		return 0, false
	}
	suppressed = note.suppressed
	*note = denial{logged: now}
	return suppressed, true
}

// note finds what was logged of source, or makes room for it. The caller holds mu.
func (l *DenialLog) note(source string, now time.Time) *denial {
	if note, ok := l.sources[source]; ok {
		return note
	}
	if len(l.sources) >= maxDenialSources {
		l.forgetExpired(now)
	}
	if len(l.sources) >= maxDenialSources {
		return &l.others
	}
	note := &denial{}
	l.sources[source] = note
	return note
}

// forgetExpired makes room. What was suppressed of the sources that it forgets goes into the next
// line about the others. The caller holds mu.
func (l *DenialLog) forgetExpired(now time.Time) {
	for source, note := range l.sources {
		if note.expired(now) {
			l.others.suppressed += note.suppressed
			delete(l.sources, source)
		}
	}
}

func (n *denial) expired(now time.Time) bool { return now.Sub(n.logged) >= denialInterval }
