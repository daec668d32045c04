package logging

import (
	"log/slog"
	"runtime"
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

// maxBatch is how many records are written in one call at most.
const maxBatch = 64

// sink writes entries in one form. Only one goroutine at a time uses it.
type sink interface {
	// write may keep what it is given until flush.
	write(e entry) error
	flush() error
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
	l.writer.put(e)
	l.writer.flush()
}

// lose counts one record, and gives back the untold ones that it carried.
func (l *Log) lose(untold uint64) {
	l.writer.dropped.Add(1)
	l.lost.Add(untold + 1)
}

// run is the goroutine. Before it writes it lets those run who are about to log as well: one
// call for all that is there costs little more than one for each record.
func (l *Log) run() {
	defer close(l.done)
	for e := range l.queue {
		runtime.Gosched()
		l.writer.put(e)
		for range min(len(l.queue), maxBatch-1) {
			l.writer.put(<-l.queue) // nobody else takes any
		}
		l.writer.flush()
	}
	l.writer.finish(l.lost.Swap(0))
}

// writer writes entries, with the warning before them when some were lost.
type writer struct {
	next    atomic.Pointer[sink] // what SetFormat asked for
	dropped atomic.Uint64        // records lost ever

	current sink
	kept    atomic.Uint64 // records that current has not flushed
	told    uint64        // lost records that a warning among those tells of
	lost    uint64        // not yet told of
}

// put has e written by the next flush at the latest. When the warning cannot be written, e is not tried: a sink that is
// down would make everything behind it wait twice.
func (w *writer) put(e entry) {
	w.change()
	w.lost += e.lost
	if w.tell() && w.current.write(e) == nil {
		w.kept.Add(1)
		return
	}
	w.lose(1)
}

func (w *writer) flush() {
	if w.current.flush() != nil {
		w.lost += w.told
		w.lose(w.kept.Load())
	}
	w.told = 0
	w.kept.Store(0)
}

func (w *writer) lose(n uint64) {
	w.lost += n
	w.dropped.Add(n)
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
	w.told += w.lost
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
		w.flush()
		w.current.close()
	}
	w.current = next
}

func (w *writer) finish(lost uint64) {
	w.change()
	w.lost += lost
	w.tell()
	w.flush()
	w.current.close()
}
