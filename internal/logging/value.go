package logging

import (
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxValue = 16 << 10 // bytes of a value or a message
	cutMark  = "…"
)

// snapshot resolves and copies attributes. What comes out is of the basic kinds, or nil, or a []string; groups without a
// name are inlined and empty ones left out, as slog.Handler asks.
func snapshot(attrs []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, 0, len(attrs))
	for _, a := range attrs {
		out = appendSnapshot(out, a)
	}
	return out
}

func appendSnapshot(out []slog.Attr, a slog.Attr) []slog.Attr {
	v := a.Value.Resolve()
	if v.Kind() != slog.KindGroup {
		if a.Key != "" || v.Any() != nil {
			out = append(out, slog.Attr{Key: a.Key, Value: freeze(v)})
		}
		return out
	}
	members := snapshot(v.Group())
	switch {
	case a.Key == "":
		out = append(out, members...)
	case len(members) > 0:
		out = append(out, slog.Attr{Key: a.Key, Value: slog.GroupValue(members...)})
	}
	return out
}

// freeze copies a value that is not a group. fmt survives an Error or String method that panics.
func freeze(v slog.Value) slog.Value {
	switch v.Kind() {
	case slog.KindString:
		return slog.StringValue(cut(v.String(), maxValue))
	case slog.KindFloat64:
		return freezeFloat(v)
	case slog.KindAny:
	default:
		return v
	}
	switch x := v.Any().(type) {
	case nil:
		return v
	case []string:
		return slog.AnyValue(freezeList(x))
	case []byte:
		return slog.StringValue(cut(string(x), maxValue))
	case error:
		return slog.StringValue(cut(fmt.Sprintf("%v", x), maxValue))
	default:
		return slog.StringValue(cut(fmt.Sprintf("%+v", x), maxValue))
	}
}

// freezeFloat: JSON has no word for these.
func freezeFloat(v slog.Value) slog.Value {
	if f := v.Float64(); math.IsNaN(f) || math.IsInf(f, 0) {
		return slog.StringValue(strconv.FormatFloat(f, 'g', -1, 64))
	}
	return v
}

// freezeList bounds the elements together as if they were one value. Empty ones count too.
func freezeList(list []string) []string {
	out := make([]string, 0, min(len(list), 16))
	room := maxValue - len(cutMark)
	for _, s := range list {
		if room <= len(cutMark) {
			return append(out, cutMark)
		}
		s = cut(s, room)
		out = append(out, s)
		room -= len(s) + 1
	}
	return out
}

// cut shortens s to at most limit bytes, the mark included, without breaking a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit - len(cutMark)
	for i := end; i > 0 && i > end-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i] + cutMark
		}
	}
	return s[:end] + cutMark // not UTF-8 here
}

// text is a value for people. Only groups have none.
func text(v slog.Value) string {
	switch v.Kind() {
	case slog.KindDuration:
		return readable(v.Duration())
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	case slog.KindAny:
		if list, ok := v.Any().([]string); ok {
			return strings.Join(list, ",")
		}
	}
	return v.String()
}

// readable drops the digits that nobody reads: 1.234s, 5.68ms, 12.345µs.
func readable(d time.Duration) string {
	switch size := d.Abs(); {
	case size >= time.Second:
		d = d.Round(time.Millisecond)
	case size >= time.Millisecond:
		d = d.Round(10 * time.Microsecond)
	}
	return d.String()
}

// milliseconds has microsecond digits: more is noise.
func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}

// quote makes s safe and unambiguous as the value of key=value, in the way of slog's text form.
func quote(s string) string {
	if s == "" || strings.ContainsAny(s, ` ="\`) || !printable(s) {
		return strconv.Quote(s)
	}
	return s
}

// escape is for messages: no quotes around, and none escaped.
func escape(s string) string {
	if printable(s) {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// printable is false for control characters, escape sequences, characters that turn the direction of writing, and
// bytes that are not UTF-8.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
