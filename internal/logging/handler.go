package logging

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"oauth-proxyd/internal/term"
)

const maxValue = 16 << 10 // bytes of a value or a message

// entry is a record as a sink formats it.
type entry struct {
	time  time.Time
	level slog.Level
	msg   string
	attrs []slog.Attr
}

// handler is the slog.Handler of a Log. It looks up the sink for each record, so that a change of
// the format reaches the loggers that were derived before.
type handler struct {
	log   *Log
	attrs []slog.Attr // from WithAttrs; shared, never changed
}

var _ slog.Handler = handler{}

func (h handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.log.level.Level()
}

// Handle formats the record at once, because its caller may change the values.
func (h handler) Handle(_ context.Context, r slog.Record) error {
	attrs, ok := h.log.attrs.Get().(*[]slog.Attr)
	if !ok {
		attrs = &[]slog.Attr{}
	}
	*attrs = append((*attrs)[:0], h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		*attrs = appendPlain(*attrs, a)
		return true
	})
	to := *h.log.sink.Load()
	h.log.put(queued{to, to.format(entry{time: r.Time, level: r.Level, msg: harmless(r.Message), attrs: *attrs})})
	clear(*attrs)
	h.log.attrs.Put(attrs)
	return nil
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs = appendPlain(slices.Clip(h.attrs), attrs...)
	return h
}

// WithGroup returns h: this log has no groups.
func (h handler) WithGroup(string) slog.Handler { return h }

// appendPlain adds copies of from to attrs. It inlines a group without a name.
func appendPlain(attrs []slog.Attr, from ...slog.Attr) []slog.Attr {
	attrs = slices.Grow(attrs, len(from))
	for _, a := range from {
		if a.Key == "" && a.Value.Kind() == slog.KindGroup {
			attrs = appendPlain(attrs, a.Value.Group()...)
		} else {
			attrs = append(attrs, plain(a))
		}
	}
	return attrs
}

// plain copies an attribute. Its value becomes a bool, a number or a harmless string; a list of
// strings is joined with commas.
func plain(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindBool, slog.KindInt64, slog.KindUint64, slog.KindFloat64:
		return slog.Attr{Key: a.Key, Value: v}
	case slog.KindString:
		return slog.String(a.Key, harmless(v.String()))
	case slog.KindDuration:
		const microsecond = 1000 // of a millisecond: more digits are noise
		return slog.Float64(strings.TrimSuffix(a.Key, "_ms")+"_ms", float64(v.Duration().Microseconds())/microsecond)
	case slog.KindTime:
		return slog.String(a.Key, v.Time().Format(time.RFC3339Nano))
	}
	if list, ok := v.Any().([]string); ok {
		return slog.String(a.Key, harmless(strings.Join(list, ",")))
	}
	return slog.String(a.Key, harmless(v.String())) // survives an Error or String method that panics
}

// harmless cuts s, and escapes what does not print as strconv.Quote does, without the quotes, so
// that the bytes of an attack stay readable.
func harmless(s string) string {
	s = term.Cut(s, maxValue)
	if term.Printable(s) {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
