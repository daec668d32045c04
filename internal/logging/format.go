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

	"github.com/lmittmann/tint"

	"oauth-proxyd/internal/term"
)

// Format names a format of the log; see the package's documentation.
type Format string

// The formats of the log.
const (
	FormatAuto    Format = "auto"
	FormatJournal Format = "journal"
	FormatText    Format = "text"
	FormatJSON    Format = "json"
)

// sink writes entries in one format. Only one goroutine at a time uses it.
type sink interface {
	write(e entry) error // may keep e until flush
	flush() error
	close()
}

// outputs is where a log can go.
type outputs struct {
	stderr *os.File
	socket string
}

// open makes the sink of a format. It is cheap, and a sink that is never used need not be closed.
func (o outputs) open(format Format) (sink, error) {
	switch format {
	case FormatAuto, "":
		return o.openAuto(), nil
	case FormatJournal:
		if err := reachable(o.socket); err != nil {
			return nil, fmt.Errorf("the journal cannot be reached, use the format auto, text or json: %w", err)
		}
		return &journal{socket: o.socket}, nil
	case FormatText:
		return newText(o.stderr), nil
	case FormatJSON:
		return newJSON(o.stderr), nil
	}
	return nil, fmt.Errorf("unknown format %q, use auto, journal, text or json", format)
}

// openAuto upgrades standard error to the native protocol, as systemd.exec(5) describes at
// $JOURNAL_STREAM.
func (o outputs) openAuto() sink {
	switch {
	case isJournal(o.stderr, os.Getenv("JOURNAL_STREAM")) && reachable(o.socket) == nil:
		return &journal{socket: o.socket}
	case term.IsTerminal(o.stderr):
		return newText(o.stderr)
	}
	return newJSON(o.stderr)
}

// isJournal compares f with the device and inode numbers of stream: the variable is inherited by
// processes whose standard error was redirected since.
func isJournal(f *os.File, stream string) bool {
	device, inode, ok := strings.Cut(stream, ":")
	info, err := f.Stat()
	if !ok || err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && device == strconv.FormatUint(stat.Dev, 10) && inode == strconv.FormatUint(stat.Ino, 10)
}

// lines is the sink of the formats that slog handlers write.
type lines struct {
	out     io.Writer
	pending *bytes.Buffer // what handler wrote and out has not got
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

// forTint joins lists. Bytes tint quotes as they are; in a string with a blank that spells \x1b, it
// makes that an escape character.
func forTint(_ []string, a slog.Attr) slog.Attr {
	a.Key = strings.ReplaceAll(a.Key, `\`, "/")
	if list, ok := a.Value.Any().([]string); ok {
		a.Value = slog.StringValue(strings.Join(list, ","))
	}
	if a.Key != slog.MessageKey && a.Value.Kind() == slog.KindString && strings.Contains(a.Value.String(), `\`) {
		a.Value = slog.AnyValue([]byte(a.Value.String()))
	}
	return a
}

func (l *lines) write(e entry) error {
	r := slog.NewRecord(e.time, e.level, e.msg, 0)
	r.AddAttrs(slog.Attr{Value: slog.GroupValue(e.attrs...)}) // a group without a name is inlined, and spares a copy
	return l.handler.Handle(context.Background(), r)
}

// flush writes all pending lines. Those of a failed write are dropped: some may be out.
func (l *lines) flush() error {
	const keep = 64 << 10 // of the buffer, for the next lines
	if l.pending.Len() == 0 {
		return nil
	}
	_, err := l.out.Write(l.pending.Bytes())
	if l.pending.Cap() > keep {
		*l.pending = bytes.Buffer{}
	}
	l.pending.Reset()
	return err
}

func (l *lines) close() {}
