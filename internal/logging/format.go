package logging

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"

	"github.com/lmittmann/tint"

	"oauth-proxyd/internal/term"
)

// sink writes entries in one format. One goroutine at a time uses it.
type sink interface {
	write(batch []entry) (lost int)
	close()
}

// open makes the sink of a format. A sink that was never used need not be closed.
func (l *Log) open(format string) (sink, error) {
	switch format {
	case "journal":
		if err := reachable(l.journal); err != nil {
			return nil, fmt.Errorf("the journal cannot be reached, use the format auto, text or json: %w", err)
		}
		return &journal{socket: l.journal}, nil
	case "text":
		return newText(l.stderr), nil
	case "json":
		return newJSON(l.stderr), nil
	}
	return l.openAuto(), nil
}

// openAuto uses the native protocol if standard error is the journal; see $JOURNAL_STREAM in
// systemd.exec(5).
func (l *Log) openAuto() sink {
	switch {
	case isJournal(l.stderr, os.Getenv("JOURNAL_STREAM")) && reachable(l.journal) == nil:
		return &journal{socket: l.journal}
	case term.IsTerminal(l.stderr):
		return newText(l.stderr)
	}
	return newJSON(l.stderr)
}

// isJournal compares f with the device and inode numbers in stream, because a process whose
// standard error was redirected inherits the variable too.
func isJournal(f *os.File, stream string) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// lines is the sink of the formats that a slog.Handler writes.
type lines struct {
	out     io.Writer
	pending *bytes.Buffer // what handler wrote
	handler slog.Handler
}

func newJSON(w io.Writer) sink {
	pending := &bytes.Buffer{}
	return &lines{out: w, pending: pending, handler: slog.NewJSONHandler(pending, nil)}
}

func newText(w io.Writer) sink {
	pending := &bytes.Buffer{}
	layout := "2006-01-02T15:04:05.000Z07:00"
	if term.IsTerminal(w) {
		layout = "15:04:05.000"
	}
	options := &tint.Options{TimeFormat: layout, NoColor: !term.NewPrinter(w).Color, ReplaceAttr: forTint}
	return &lines{out: w, pending: pending, handler: tint.NewTextHandler(pending, options)}
}

// forTint turns a string with a backslash into bytes, which tint quotes as they are: in a string
// with a blank, tint would turn the text \x1b into an escape character.
func forTint(_ []string, a slog.Attr) slog.Attr {
	if a.Key != slog.MessageKey && a.Value.Kind() == slog.KindString && strings.Contains(a.Value.String(), `\`) {
		a.Value = slog.AnyValue([]byte(a.Value.String()))
	}
	return a
}

// write makes one write of the whole batch. If it fails, all entries are lost, even though some may
// have been written.
func (l *lines) write(batch []entry) (lost int) {
	const keep = 64 << 10 // bytes of the buffer, for the next batch
	for _, e := range batch {
		r := slog.NewRecord(e.time, e.level, e.msg, 0)
		r.AddAttrs(slog.Attr{Value: slog.GroupValue(e.attrs...)}) // a group without a name is inlined, and spares a copy
		_ = l.handler.Handle(context.Background(), r)             // a buffer takes all of it
	}
	if _, err := l.out.Write(l.pending.Bytes()); err != nil {
		lost = len(batch)
	}
	if l.pending.Cap() > keep {
		*l.pending = bytes.Buffer{}
	}
	l.pending.Reset()
	return lost
}

func (l *lines) close() {}
