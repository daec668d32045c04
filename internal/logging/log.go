package logging

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxQueue = 4096 // records that wait to be written
	maxBatch = 64   // records in one write
)

// Config says what is logged, how, and to where.
type Config struct {
	// Level is the least level that is logged; the zero value is info.
	Level slog.Level
	// Format is auto, journal, text or json; empty is auto. See the package's documentation.
	Format string
	// Stderr is where text and JSON go, and what the format auto looks at; nil is os.Stderr.
	Stderr *os.File
	// JournalSocket is journald's socket; empty is /run/systemd/journal/socket.
	JournalSocket string
}

// Log is a queue of records and the goroutine that writes them. It is safe for concurrent use.
type Log struct {
	level   slog.LevelVar
	stderr  *os.File
	journal string               // the socket of journald
	sink    atomic.Pointer[sink] // what SetFormat chose last
	attrs   sync.Pool            // of *[]slog.Attr, each for one record at a time
	dropped atomic.Uint64
	noted   atomic.Uint64 // of these, by a record in the log

	mu     sync.RWMutex // read-locked to put into the queue, locked to close it
	closed bool
	queue  chan queued
	done   chan struct{} // closed when the goroutine has ended
}

// queued is a record in the format of the sink that is to write it.
type queued struct {
	sink sink
	text []byte
}

// New starts a log. It fails for the format journal on a host without a journal.
//
// A daemon outlives the reader of its log, but Go ends a program whose write to descriptor 2 finds
// a closed pipe: the caller ignores SIGPIPE (see os/signal).
func New(cfg Config) (*Log, error) {
	l := &Log{
		stderr: cmp.Or(cfg.Stderr, os.Stderr), journal: cmp.Or(cfg.JournalSocket, journalSocket),
		queue: make(chan queued, maxQueue), done: make(chan struct{}),
	}
	l.level.Set(cfg.Level)
	if err := l.SetFormat(cfg.Format); err != nil {
		return nil, err
	}
	go l.run()
	return l, nil
}

// Logger returns a logger that writes to l. SetLevel and SetFormat apply to loggers derived from it
// too.
func (l *Log) Logger() *slog.Logger { return slog.New(handler{log: l}) }

// SetLevel changes the least level, from the next record on.
func (l *Log) SetLevel(level slog.Level) { l.level.Set(level) }

// SetFormat changes the format, from the next record on; auto looks at standard error again. It
// fails as New does, and then the format stays what it was.
func (l *Log) SetFormat(format string) error {
	s, err := l.open(format)
	if err != nil {
		return fmt.Errorf("choosing the log format: %w", err)
	}
	l.sink.Store(&s)
	return nil
}

// HowToFind says how an operator finds the records with an attribute, or all of them if the key is
// empty. The command shows the log; it is empty if no journal may have it.
func (l *Log) HowToFind(command, key, value string) string {
	_, fields := (*l.sink.Load()).(*journal)
	if fields {
		command = cmp.Or(command, "journalctl -t "+identifier)
	}
	match := " -g "
	if fields {
		match = " " + string(appendFieldName(nil, key)) + "="
	}
	if strings.Contains(value, " ") {
		value = strconv.Quote(value)
	}
	switch {
	case command != "" && key != "":
		return "`" + command + match + value + "`"
	case command != "":
		return "`" + command + "`"
	case key != "":
		return "the lines of the log with " + key + " " + value
	}
	return "the log"
}

// Dropped is how many records were lost since New: the queue was full or closed, or writing failed.
func (l *Log) Dropped() uint64 { return l.dropped.Load() }

// Missing is how many dropped records the log itself does not mention yet, because it cannot be
// written now.
func (l *Log) Missing() uint64 {
	noted := l.noted.Load() // first: it never exceeds what was dropped then
	return l.dropped.Load() - noted
}

// Close writes the queued records and ends the goroutine. If ctx ends first, it returns an error
// and the goroutine continues. A record logged after Close is dropped.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
	l.mu.Unlock()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("writing the last log records, %d left: %w", len(l.queue), context.Cause(ctx))
	}
}

// put queues a record, or drops it if the queue is full. It never waits.
func (l *Log) put(record queued) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if !l.closed {
		select {
		case l.queue <- record:
			return
		default:
		}
	}
	l.dropped.Add(1)
}

// run writes the records, in batches. Before each batch it lets those goroutines run that are about
// to log as well: one write for all records costs little more than one for each.
func (l *Log) run() {
	defer close(l.done)
	out := *l.sink.Load()
	warn := func() { // ignores the level: a log with holes says so
		n := l.Missing()
		if n > 0 && out.write([][]byte{out.format(entry{
			time.Now(), slog.LevelWarn, "log records dropped", []slog.Attr{slog.Uint64("n", n)},
		})}) == 0 {
			l.noted.Add(n)
		}
	}
	batch := make([][]byte, 0, maxBatch)
	write := func() {
		warn()
		l.dropped.Add(uint64(out.write(batch)))
		clear(batch)
		batch = batch[:0]
	}
	for record := range l.queue {
		runtime.Gosched()
		for more := min(len(l.queue), maxBatch-1); ; more-- {
			if record.sink != out {
				if len(batch) > 0 {
					write()
				}
				out.close()
				out = record.sink
			}
			batch = append(batch, record.text)
			if more == 0 {
				break
			}
			record = <-l.queue // this goroutine alone takes any
		}
		write()
	}
	warn()
	out.close()
}
