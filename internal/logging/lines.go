package logging

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/lmittmann/tint"
)

// maxPending is how many bytes of a buffer for lines are kept for the next ones.
const maxPending = 64 << 10

// lines is the sink of the forms that slog handlers write.
type lines struct {
	out     io.Writer
	pending *bytes.Buffer // what handler wrote and out has not got
	handler slog.Handler
	prepare func([]slog.Attr) []slog.Attr // nil: as they are
	message func(string) string           // nil: as it is
}

func (l *lines) write(e entry) error {
	if l.message != nil {
		e.msg = l.message(e.msg)
	}
	if l.prepare != nil {
		e.attrs = l.prepare(e.attrs)
	}
	r := slog.NewRecord(e.time, e.level, e.msg, 0)
	r.AddAttrs(slog.Attr{Value: slog.GroupValue(e.attrs...)}) // a group without a name is inlined, and spares a copy
	return l.handler.Handle(context.Background(), r)
}

// flush writes all pending lines. Those of a failed write are dropped: some may be out.
func (l *lines) flush() error {
	if l.pending.Len() == 0 {
		return nil
	}
	_, err := l.out.Write(l.pending.Bytes())
	if l.pending.Cap() > maxPending {
		*l.pending = bytes.Buffer{}
	}
	l.pending.Reset()
	return err
}

func (l *lines) close() {}

func newText(w io.Writer, layout string, colour bool) sink {
	pending := &bytes.Buffer{}
	return &lines{
		out: w, pending: pending,
		handler: tint.NewTextHandler(pending, &tint.Options{TimeFormat: layout, NoColor: !colour}),
		prepare: tinted,
		message: escape,
	}
}

// tinted prepares attributes for tint, which lets escape sequences through to a terminal, as it makes some itself, and
// removes them elsewhere. Bytes it always quotes.
func tinted(attrs []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i].Key = escape(a.Key)
		if a.Value.Kind() == slog.KindGroup {
			out[i].Value = slog.GroupValue(tinted(a.Value.Group())...)
			continue
		}
		if s := text(a.Value); printable(s) {
			out[i].Value = slog.StringValue(s)
		} else {
			out[i].Value = slog.AnyValue([]byte(s))
		}
	}
	return out
}

func newJSON(w io.Writer) sink {
	pending := &bytes.Buffer{}
	return &lines{
		out: w, pending: pending,
		handler: slog.NewJSONHandler(escaping{pending}, nil),
		prepare: inMilliseconds,
	}
}

// inMilliseconds says the unit of a duration in its key, as JSON has none.
func inMilliseconds(attrs []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		switch a.Value.Kind() {
		case slog.KindDuration:
			a = slog.Float64(strings.TrimSuffix(a.Key, "_ms")+"_ms", milliseconds(a.Value.Duration()))
		case slog.KindGroup:
			a.Value = slog.GroupValue(inMilliseconds(a.Value.Group())...)
		}
		out[i] = a
	}
	return out
}

// escaping writes what does not print as JSON escapes. slog does so below U+0020 only, which leaves DEL, the C1 controls
// that a terminal obeys, and those that turn the direction of writing. They can only stand in a string, where the
// escape means the same.
type escaping struct{ w io.Writer }

func (e escaping) Write(p []byte) (int, error) {
	if isPlain(p) { // as nearly always
		return e.w.Write(p)
	}
	out := make([]byte, 0, len(p)+16)
	for rest := p; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r == '\n' || unicode.IsPrint(r) {
			out = append(out, rest[:size]...)
		} else {
			out = appendEscape(out, r)
		}
		rest = rest[size:]
	}
	if _, err := e.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// isPlain reports whether p is ASCII that prints, and line ends.
func isPlain(p []byte) bool {
	for _, c := range p {
		if (c < ' ' || c > '~') && c != '\n' {
			return false
		}
	}
	return true
}

func appendEscape(out []byte, r rune) []byte {
	if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
		return fmt.Appendf(out, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(out, `\u%04x`, r)
}
