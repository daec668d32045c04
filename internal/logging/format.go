package logging

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

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

// lines is the sink of the formats with one line for each entry.
type lines struct {
	out     io.Writer
	pending bytes.Buffer
	format  func(entry) // adds a line to pending
}

func newJSON(w io.Writer) sink {
	l := &lines{out: w}
	l.format = func(e entry) { _, _ = l.pending.Write(appendJSON(l.pending.AvailableBuffer(), e)) }
	return l
}

// appendJSON adds what slog's JSONHandler would, in a fraction of the time: all texts print.
func appendJSON(p []byte, e entry) []byte {
	p = append(p, `{"time":"`...)
	p = e.time.AppendFormat(p, time.RFC3339Nano)
	p = append(append(p, `","level":"`...), e.level.String()...)
	p = appendQuoted(append(p, `","msg":`...), e.msg)
	for _, a := range e.attrs {
		p = append(appendQuoted(append(p, ','), a.Key), ':')
		if a.Value.Kind() == slog.KindString {
			p = appendQuoted(p, a.Value.String())
		} else {
			p = append(p, text(a.Value)...)
		}
	}
	return append(p, "}\n"...)
}

// appendQuoted adds a text that prints as a string of JSON.
func appendQuoted(p []byte, s string) []byte {
	if strings.Contains(s, `"`) || strings.Contains(s, `\`) {
		return strconv.AppendQuote(p, s)
	}
	return append(append(append(p, '"'), s...), '"')
}

func newText(w io.Writer) sink {
	layout := "2006-01-02T15:04:05.000Z07:00"
	if term.IsTerminal(w) {
		layout = "15:04:05.000"
	}
	l := &lines{out: w}
	handler := tint.NewTextHandler(&l.pending, &tint.Options{
		TimeFormat: layout, NoColor: !term.NewPrinter(w).Color, ReplaceAttr: forTint,
	})
	l.format = func(e entry) {
		r := slog.NewRecord(e.time, e.level, e.msg, 0)
		r.AddAttrs(e.attrs...)
		_ = handler.Handle(context.Background(), r) // a buffer takes all of it
	}
	return l
}

// text is a value in each format. An exponent would be hard to read.
func text(v slog.Value) string {
	if v.Kind() == slog.KindFloat64 {
		return strconv.FormatFloat(v.Float64(), 'f', -1, 64)
	}
	return v.String()
}

// forTint turns a string with a backslash into bytes, which tint quotes as they are: in a string
// with a blank, tint would turn the text \x1b into an escape character. tint writes a number of
// 1,000,000 or more with an exponent.
func forTint(_ []string, a slog.Attr) slog.Attr {
	switch {
	case a.Value.Kind() == slog.KindFloat64:
		a.Value = slog.StringValue(text(a.Value))
	case a.Key != slog.MessageKey && a.Value.Kind() == slog.KindString && strings.Contains(a.Value.String(), `\`):
		a.Value = slog.AnyValue([]byte(a.Value.String()))
	}
	return a
}

// write makes one write of the whole batch. If it fails, all entries are lost, even though some may
// have been written.
func (l *lines) write(batch []entry) (lost int) {
	const keep = 64 << 10 // bytes of the buffer, for the next batch
	for _, e := range batch {
		l.format(e)
	}
	if _, err := l.out.Write(l.pending.Bytes()); err != nil {
		lost = len(batch)
	}
	if l.pending.Cap() > keep {
		l.pending = bytes.Buffer{}
	}
	l.pending.Reset()
	return lost
}

func (l *lines) close() {}
