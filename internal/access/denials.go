package access

import (
	"maps"
	"sync"
	"time"
)

const (
	denialInterval = time.Minute // between two log lines about one source
	// maxDenialSources is how many sources have lines of their own. The others share one, so a
	// flood of addresses neither fills the log nor pushes out the sources that were logged.
	maxDenialSources = 256
	otherSources     = ""
)

// DenialLog limits the log lines about refused requests to one a minute for each source.
type DenialLog struct {
	mu      sync.Mutex
	sources map[string]denial
}

type denial struct {
	logged     time.Time // zero: not yet
	suppressed int       // requests since then that were not logged
}

// NewDenialLog returns an empty DenialLog.
func NewDenialLog() *DenialLog { return &DenialLog{sources: make(map[string]denial)} }

// Due reports whether a refused request of source is to be logged, and how many requests were
// suppressed since the last one that was.
func (l *DenialLog) Due(source string) (suppressed int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if _, known := l.sources[source]; !known && len(l.sources) >= maxDenialSources {
		maps.DeleteFunc(l.sources, func(name string, d denial) bool { // those that are due again
			return name != otherSources && now.Sub(d.logged) >= denialInterval
		})
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
