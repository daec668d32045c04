package access

import (
	"sync"
	"time"
)

const (
	denialInterval = time.Minute // between two log lines about one source
	// maxDenialSources is how many sources have lines of their own. The others share one, so that a
	// flood of addresses neither fills the log nor has us forget who was logged.
	maxDenialSources = 256
	otherSources     = ""
)

// DenialLog bounds what senders whom access does not admit can make us log, whatever they send and
// whatever becomes of it: one line a minute for each source.
type DenialLog struct {
	mu      sync.Mutex
	sources map[string]denial
}

// denial is what was logged of a source.
type denial struct {
	logged     time.Time // zero: not yet
	suppressed int       // lines since
}

// NewDenialLog makes one that has logged nothing yet.
func NewDenialLog() *DenialLog { return &DenialLog{sources: make(map[string]denial)} }

// Due reports whether a request of source is to be logged, and if so how many were not since the
// last that was.
func (l *DenialLog) Due(source string) (suppressed int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if _, known := l.sources[source]; !known && len(l.sources) >= maxDenialSources {
		l.forgetExpired(now)
		if len(l.sources) >= maxDenialSources {
			source = otherSources
		}
	}
	d := l.sources[source]
	if now.Sub(d.logged) < denialInterval {
		d.suppressed++
		l.sources[source] = d
		return 0, false
	}
	l.sources[source] = denial{logged: now}
	return d.suppressed, true
}

// forgetExpired makes room. What was suppressed of the sources that it forgets goes into the next
// line about the others.
func (l *DenialLog) forgetExpired(now time.Time) {
	others := l.sources[otherSources]
	for source, d := range l.sources {
		if source != otherSources && now.Sub(d.logged) >= denialInterval {
			others.suppressed += d.suppressed
			delete(l.sources, source)
		}
	}
	l.sources[otherSources] = others
}
