package logging

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

const defaultQueue = 4096 // records

// Config says what is logged, how, and to where.
type Config struct {
	// Level is the least level that is logged; the zero value is info.
	Level slog.Level
	// Format is the form of the log; empty is FormatAuto.
	Format Format
	// Stderr is where text and JSON go, and what FormatAuto looks at; nil is os.Stderr. It is duplicated, see New.
	Stderr *os.File
	// Queue is how many records may wait to be written; 0 is 4096.
	Queue int
	// JournalSocket is journald's socket; empty is /run/systemd/journal/socket.
	JournalSocket string
}

// Log is a queue of records and the goroutine that writes them. Its methods may be called at the same time.
type Log struct {
	level   slog.LevelVar
	outputs outputs
	writer  writer

	mu     sync.RWMutex // held shared to put into the queue, exclusively to close it
	closed bool
	queue  chan entry
	done   chan struct{} // closed when the goroutine has ended

	lateMu sync.Mutex // who writes after the goroutine has ended

	lost atomic.Uint64 // not yet told of in the log, nor to writer
}

// New starts a log. It fails for an unknown format, and for FormatJournal on a host without a journal.
//
// Standard error is written through a duplicate: Go ends a program whose write to descriptor 2 finds a closed pipe
// (see os/signal, SIGPIPE), and a daemon outlives whoever read its log.
func New(cfg Config) (*Log, error) {
	stderr, err := duplicate(cfg.Stderr)
	if err != nil {
		return nil, fmt.Errorf("opening standard error for the log: %w", err)
	}
	l := &Log{
		outputs: outputs{stderr: stderr, socket: cfg.JournalSocket},
		queue:   make(chan entry, queueLength(cfg.Queue)),
		done:    make(chan struct{}),
	}
	if l.outputs.socket == "" {
		l.outputs.socket = journalSocket
	}
	l.level.Set(cfg.Level)
	if err := l.SetFormat(cfg.Format); err != nil {
		_ = stderr.Close() // nothing was written to it
		return nil, err
	}
	go l.run()
	return l, nil
}

func queueLength(n int) int {
	if n <= 0 {
		return defaultQueue
	}
	return n
}

func duplicate(f *os.File) (*os.File, error) {
	if f == nil {
		f = os.Stderr
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd uintptr
	var errno syscall.Errno
	err = raw.Control(func(old uintptr) {
		fd, _, errno = syscall.Syscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 3)
	})
	if err != nil {
		return nil, err
	}
	if errno != 0 {
		return nil, errno
	}
	return os.NewFile(fd, f.Name()), nil
}

// Logger returns a logger that writes to l. Loggers derived from it follow SetLevel and SetFormat as well.
func (l *Log) Logger() *slog.Logger { return slog.New(handler{log: l}) }

// SetLevel changes the least level, from the next record on.
func (l *Log) SetLevel(level slog.Level) { l.level.Set(level) }

// SetFormat changes the form of every record written from now on; standard error is looked at again for FormatAuto. It
// fails as New does, and then the form stays what it was.
func (l *Log) SetFormat(format Format) error {
	s, err := l.outputs.open(format)
	if err != nil {
		return fmt.Errorf("choosing the log format: %w", err)
	}
	l.writer.next.Store(&s)
	return nil
}

// Dropped is how many records were lost since New, for want of room in the queue or because writing failed.
func (l *Log) Dropped() uint64 { return l.writer.dropped.Load() }

// Close writes what is queued and ends the goroutine. When ctx ends first, the goroutine goes on as far as it can, and
// the error says how many records are left. A record logged after Close is written at once, by its caller, and dropped
// when Close has not been able to finish. A second Close waits like the first.
func (l *Log) Close(ctx context.Context) error {
	l.shut()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		left := uint64(len(l.queue)) + l.writer.kept.Load()
		return fmt.Errorf("writing the last log records, %d left: %w", left, context.Cause(ctx))
	}
}

func (l *Log) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
}
