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
	"sync"
	"syscall"
	"time"

	"github.com/lmittmann/tint"

	"oauth-proxyd/internal/term"
)

const usualSize = 1 << 10 // bytes that hold most records

// sink writes the log in one format. One goroutine at a time calls write and close.
type sink interface {
	format(e entry) []byte // may be called by several goroutines
	write(batch [][]byte) (lost int)
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

// lines writes lines to a file.
type lines struct {
	out     io.Writer
	pending []byte
}

// write makes one write of the whole batch. If it fails, all of it is lost, even though some may
// have been written.
func (l *lines) write(batch [][]byte) (lost int) {
	const keep = 64 << 10 // bytes of pending, for the next batch
	for _, text := range batch {
		l.pending = append(l.pending, text...)
	}
	if _, err := l.out.Write(l.pending); err != nil {
		lost = len(batch)
	}
	if l.pending = l.pending[:0]; cap(l.pending) > keep {
		l.pending = nil
	}
	return lost
}

func (l *lines) close() {}

// jsonLines is the sink of the format json.
type jsonLines struct{ lines }

func newJSON(w io.Writer) sink { return &jsonLines{out: w} }

// format writes what slog's JSONHandler would, in a third of the time: see appendString.
func (l *jsonLines) format(e entry) []byte {
	p := append(make([]byte, 0, usualSize), `{"time":"`...)
	p = e.time.AppendFormat(p, time.RFC3339Nano)
	p = append(append(p, `","level":"`...), e.level.String()...)
	p = appendString(append(p, `","msg":`...), e.msg)
	for _, a := range e.attrs {
		p = append(appendString(append(p, ','), a.Key), ':')
		if a.Value.Kind() == slog.KindString {
			p = appendString(p, a.Value.String())
		} else {
			p = appendText(p, a.Value)
		}
	}
	return append(p, "}\n"...)
}

// appendString appends s as a string of JSON. s prints, so that strconv.Quote escapes only " and \,
// as JSON does.
func appendString(p []byte, s string) []byte {
	if strings.Contains(s, `"`) || strings.Contains(s, `\`) {
		return strconv.AppendQuote(p, s)
	}
	return append(append(append(p, '"'), s...), '"')
}

// textLines is the sink of the format text.
type textLines struct {
	lines
	mu        sync.Mutex
	formatted bytes.Buffer // by handler
	handler   slog.Handler
}

func newText(w io.Writer) sink {
	l := &textLines{out: w}
	layout := "2006-01-02T15:04:05.000Z07:00"
	if term.IsTerminal(w) {
		layout = "15:04:05.000"
	}
	options := &tint.Options{TimeFormat: layout, NoColor: !term.NewPrinter(w).Color, ReplaceAttr: forTint}
	l.handler = tint.NewTextHandler(&l.formatted, options)
	return l
}

func (l *textLines) format(e entry) []byte {
	r := slog.NewRecord(e.time, e.level, e.msg, 0)
	r.AddAttrs(e.attrs...)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.formatted.Reset()
	_ = l.handler.Handle(context.Background(), r) // a buffer takes all of it
	return bytes.Clone(l.formatted.Bytes())
}

// appendText appends a value of [plain], for each format. A number has no exponent, which would be
// hard to read.
func appendText(p []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindFloat64:
		return strconv.AppendFloat(p, v.Float64(), 'f', -1, 64)
	case slog.KindInt64:
		return strconv.AppendInt(p, v.Int64(), 10)
	}
	return append(p, v.String()...)
}

// forTint turns a string with a backslash into bytes, which tint quotes as they are: in a string
// with a blank, tint would turn the text \x1b into an escape character. It turns a number into a
// string, because tint writes 1,000,000 and more with an exponent.
func forTint(_ []string, a slog.Attr) slog.Attr {
	switch {
	case a.Value.Kind() == slog.KindFloat64:
		a.Value = slog.StringValue(string(appendText(nil, a.Value)))
	case a.Key != slog.MessageKey && a.Value.Kind() == slog.KindString && strings.Contains(a.Value.String(), `\`):
		a.Value = slog.AnyValue([]byte(a.Value.String()))
	}
	return a
}
