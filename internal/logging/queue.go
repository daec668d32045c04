package logging

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// entry is a record that needs nothing of its caller any more.
type entry struct {
	time  time.Time
	level slog.Level
	msg   string
	attrs []slog.Attr
	lost  uint64 // records dropped just before this one
}

// sink writes one entry in one form. Only one goroutine at a time uses it.
type sink interface {
	write(e entry) error
	close()
}

// put never waits while the log is open.
func (l *Log) put(e entry) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		l.putLate(e)
		return
	}
	e.lost = l.lost.Swap(0)
	select {
	case l.queue <- e:
	default:
		l.lose(e.lost)
	}
}

// putLate writes on the caller's goroutine, as the one that wrote has ended. If it has not, it may hang in a write,
// and the caller must not hang with it.
func (l *Log) putLate(e entry) {
	select {
	case <-l.done:
	default:
		l.lose(0)
		return
	}
	l.lateMu.Lock()
	defer l.lateMu.Unlock()
	e.lost = l.lost.Swap(0)
	if !l.writer.put(e) {
		l.dropped.Add(1)
	}
}

// lose counts one record, and gives back the untold ones that it carried.
func (l *Log) lose(untold uint64) {
	l.dropped.Add(1)
	l.lost.Add(untold + 1)
}

// run is the goroutine.
func (l *Log) run() {
	defer close(l.done)
	for e := range l.queue {
		if !l.writer.put(e) {
			l.dropped.Add(1)
		}
	}
	l.writer.finish(l.lost.Swap(0))
}

// writer writes entries, with the warning before them when some were lost.
type writer struct {
	next    atomic.Pointer[sink] // what SetFormat asked for
	current sink
	lost    uint64 // not yet told of
}

// put reports whether e was written. When the warning cannot be written, e is not tried: a sink that is down would make
// everything behind it wait twice.
func (w *writer) put(e entry) bool {
	w.change()
	w.lost += e.lost
	if w.tell() && w.current.write(e) == nil {
		return true
	}
	w.lost++
	return false
}

// tell writes the warning, if one is due. It is not subject to the level: a log with holes says so.
func (w *writer) tell() bool {
	if w.lost == 0 {
		return true
	}
	err := w.current.write(entry{
		time:  time.Now(),
		level: slog.LevelWarn,
		msg:   "log records dropped",
		attrs: []slog.Attr{slog.Uint64("n", w.lost)},
	})
	if err != nil {
		return false
	}
	w.lost = 0
	return true
}

// change takes the sink that SetFormat left. The old one is closed here, as it may be in use anywhere else.
func (w *writer) change() {
	next := *w.next.Load()
	if w.current == next {
		return
	}
	if w.current != nil {
		w.current.close()
	}
	w.current = next
}

func (w *writer) finish(lost uint64) {
	w.change()
	w.lost += lost
	w.tell()
	w.current.close()
}
