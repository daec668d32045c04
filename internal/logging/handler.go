package logging

import (
	"context"
	"log/slog"
	"slices"
)

// handler is the slog.Handler of a Log. It keeps no form of its own, so that a change of the form reaches the loggers
// that were derived before.
type handler struct {
	log    *Log
	scopes []scope // of Logger.With and WithGroup, outermost first; shared, never changed
}

var _ slog.Handler = handler{}

// scope is a group, or the top, and the attributes that Logger.With put there.
type scope struct {
	group string
	attrs []slog.Attr
}

func (h handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.log.level.Level()
}

// Handle takes a copy of all that the record refers to: the caller may change it afterwards.
func (h handler) Handle(_ context.Context, r slog.Record) error {
	attrs := make([]slog.Attr, 0, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		attrs = appendSnapshot(attrs, a)
		return true
	})
	for _, s := range slices.Backward(h.scopes) {
		attrs = s.around(attrs)
	}
	h.log.put(entry{time: r.Time, level: r.Level, msg: cut(r.Message, maxValue), attrs: attrs})
	return nil
}

// around puts the attributes of the scope before the inner ones, and all into its group, unless it would be empty.
func (s scope) around(inner []slog.Attr) []slog.Attr {
	all := slices.Concat(s.attrs, inner)
	if s.group == "" || len(all) == 0 {
		return all
	}
	return []slog.Attr{{Key: s.group, Value: slog.GroupValue(all...)}}
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	scopes := slices.Clone(h.scopes)
	if len(scopes) == 0 {
		scopes = []scope{{}}
	}
	last := &scopes[len(scopes)-1]
	last.attrs = slices.Concat(last.attrs, snapshot(attrs))
	return handler{log: h.log, scopes: scopes}
}

func (h handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return handler{log: h.log, scopes: append(slices.Clone(h.scopes), scope{group: name})}
}
