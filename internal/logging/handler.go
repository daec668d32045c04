package logging

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"oauth-proxyd/internal/term"
)

const (
	maxValue   = 16 << 10 // bytes of a value or a message
	maxElement = 256      // bytes of an element of a list
	maxList    = maxValue / maxElement
)

// handler is the slog.Handler of a Log. It copies records into the queue and knows no format, so
// that a change of the format reaches the loggers that were derived before.
type handler struct {
	log    *Log
	prefix string      // of the keys, from WithGroup: "group."
	attrs  []slog.Attr // from WithAttrs; shared, never changed
}

var _ slog.Handler = handler{}

func (h handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.log.level.Level()
}

func (h handler) Handle(_ context.Context, r slog.Record) error {
	attrs := append(make([]slog.Attr, 0, len(h.attrs)+r.NumAttrs()), h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		attrs = appendAttr(attrs, h.prefix, a)
		return true
	})
	h.log.put(entry{time: r.Time, level: r.Level, msg: harmless(r.Message), attrs: attrs})
	return nil
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs = slices.Clip(h.attrs)
	for _, a := range attrs {
		h.attrs = appendAttr(h.attrs, h.prefix, a)
	}
	return h
}

func (h handler) WithGroup(name string) slog.Handler {
	h.prefix = groupPrefix(h.prefix, name)
	return h
}

func groupPrefix(prefix, name string) string {
	if name == "" { // slog.Handler: such a group is inlined
		return prefix
	}
	return prefix + name + "."
}

// appendAttr appends a copy of a, whose value is a harmless string, a number, a bool, nil or a list
// of strings. The members of a group become attributes with longer keys.
func appendAttr(attrs []slog.Attr, prefix string, a slog.Attr) []slog.Attr {
	v := a.Value.Resolve()
	key := harmless(prefix + a.Key)
	switch v.Kind() {
	case slog.KindGroup:
		for _, member := range v.Group() {
			attrs = appendAttr(attrs, groupPrefix(prefix, a.Key), member)
		}
		return attrs
	case slog.KindString:
		return append(attrs, slog.String(key, harmless(v.String())))
	case slog.KindDuration:
		const microsecond = 1000 // of a millisecond: more digits are noise
		return append(attrs, slog.Float64(strings.TrimSuffix(key, "_ms")+"_ms", float64(v.Duration().Microseconds())/microsecond))
	case slog.KindTime:
		return append(attrs, slog.String(key, v.Time().Format(time.RFC3339Nano)))
	case slog.KindAny:
		if a.Key == "" && v.Any() == nil { // slog.Handler: the zero Attr is ignored
			return attrs
		}
		return append(attrs, slog.Any(key, plain(v.Any())))
	}
	return append(attrs, slog.Attr{Key: key, Value: v})
}

// plain copies a value of another kind. fmt survives an Error or String method that panics.
func plain(v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case []byte:
		return harmless(string(v))
	case []string:
		list := make([]string, 0, min(len(v), maxList))
		for _, s := range v[:min(len(v), maxList)] {
			list = append(list, harmless(term.Cut(s, maxElement)))
		}
		if len(v) > maxList {
			list[maxList-1] = "…"
		}
		return list
	}
	return harmless(fmt.Sprintf("%+v", v))
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
