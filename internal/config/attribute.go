package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"math/big"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// attribute is one name of the file, bound to one field of one Config, as a flag.Flag is bound to a
// variable. schema.go lists them all. It makes them for each Config that is decoded or compared,
// which takes 20 µs.
//
//	duration("proxy.idle_timeout", &p.IdleTimeout, shortest, day)
//	a.set(cty.StringVal("90s"))   p.IdleTimeout is 90 * time.Second
//	a.set(cty.StringVal("0s"))    a fault, and p.IdleTimeout is as it was
//	a.get()                       "1m30s", in quotes, as in the file
type attribute struct {
	path    string // the names of its blocks, and its own: "proxy.idle_timeout"
	want    string // what the value must be, with an example; follows "must be"
	kind    cty.Type
	restart bool // a change takes effect at the next start
	set     func(cty.Value) []fault
	get     func() string
}

// bind makes set and get for a field: read makes its value of the file's, and spell is the inverse.
// After that, attributes have one type, whatever the type of the field.
func bind[T any](path, want string, kind cty.Type, field *T, read func(cty.Value) (T, []fault), spell func(T) string) attribute {
	set := func(v cty.Value) []fault {
		value, faults := read(v)
		if len(faults) == 0 {
			*field = value
		}
		return faults
	}
	return attribute{path: path, want: want, kind: kind, set: set, get: func() string { return spell(*field) }}
}

func (a attribute) needsRestart() attribute {
	a.restart = true
	return a
}

// accepts reports whether a value has the attribute's type. Nothing is converted: "5" is not a
// number.
func (a attribute) accepts(v cty.Value) bool {
	switch t := v.Type(); {
	case v.IsNull() || !v.IsKnown(): // such as a number with an exponent beyond all bounds
		return false
	case t.IsTupleType():
		return a.kind == listKind()
	default:
		return t == a.kind || t == cty.String && a.kind == listKind()
	}
}

func listKind() cty.Type { return cty.List(cty.String) }

// text binds a string. parse makes the field's value of it, and spell is its inverse.
func text[T any](path, example string, field *T, parse func(string) (T, *fault), spell func(T) string) attribute {
	read := func(v cty.Value) (T, []fault) {
		value, bad := parse(v.AsString())
		return value, bad.list()
	}
	return bind(path, "a string such as "+strconv.Quote(example), cty.String, field, read,
		func(v T) string { return strconv.Quote(spell(v)) })
}

// list binds a list of strings: parse and spell are for one element, and check, which may be nil,
// is for all of them. It also takes a string: "x" is ["x"], and "" is [].
func list[T any](path, example string, field *[]T, parse func(string) (T, *fault), spell func(T) string, check func([]T) *fault) attribute {
	read := func(v cty.Value) ([]T, []fault) {
		switch {
		case v.Type() != cty.String:
		case v.AsString() == "":
			v = cty.EmptyTupleVal
		default:
			v = cty.TupleVal([]cty.Value{v})
		}
		all, faults := parseElements(v, example, parse)
		if len(faults) == 0 && check != nil {
			faults = check(all).list()
		}
		return all, faults
	}
	return bind(path, "a list of strings such as ["+strconv.Quote(example)+"]", listKind(), field, read, func(all []T) string {
		quoted := make([]string, len(all))
		for i, v := range all {
			quoted[i] = strconv.Quote(spell(v))
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	})
}

func parseElements[T any](v cty.Value, example string, parse func(string) (T, *fault)) ([]T, []fault) {
	var all []T
	var faults []fault
	for i, element := range v.AsValueSlice() {
		var parsed T
		bad := invalid("must be a string such as "+strconv.Quote(example), "")
		if !element.IsNull() && element.Type() == cty.String {
			parsed, bad = parse(element.AsString())
		}
		if bad != nil {
			bad.element = i + 1
			faults = append(faults, *bad)
			continue
		}
		all = append(all, parsed)
	}
	return all, faults
}

func asIs(s string) string { return s }

func duration(path string, field *time.Duration, low, high time.Duration) attribute {
	parse := func(s string) (time.Duration, *fault) { return parseDuration(s, low, high) }
	return text(path, spellDuration(*field), field, parse, spellDuration)
}

func size(path string, field *int64, low, high int64) attribute {
	parse := func(s string) (int64, *fault) { return parseSize(s, low, high) }
	return text(path, spellSize(*field), field, parse, spellSize)
}

func level(path string, field *slog.Level) attribute {
	spell := func(l slog.Level) string { return strings.ToLower(l.String()) }
	return oneOf(path, field, spell, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError)
}

func choice[T ~string](path string, field *T, values ...T) attribute {
	return oneOf(path, field, func(v T) string { return string(v) }, values...)
}

func oneOf[T any](path string, field *T, spell func(T) string, values ...T) attribute {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = spell(v)
	}
	parse := func(s string) (none T, bad *fault) {
		if i := slices.Index(words, s); i >= 0 {
			return values[i], nil
		}
		return none, invalid("must be "+enumerate(words)+", not "+quote(s), DidYouMean(s, words))
	}
	return text(path, spell(*field), field, parse, spell)
}

func filePath(path string, field *string, example, suffix string) attribute {
	parse := func(s string) (string, *fault) {
		switch {
		case s == "":
			return "", nil
		case !filepath.IsAbs(s) || strings.HasSuffix(s, "/") || strings.ContainsRune(s, 0):
			return "", invalid("must be the absolute path of a file, not "+quote(s), "such as "+strconv.Quote(example))
		case !strings.HasSuffix(s, suffix):
			return "", invalid("must end in "+suffix+", not "+quote(s), "node_exporter reads no other files")
		}
		return filepath.Clean(s), nil
	}
	return text(path, example, field, parse, asIs)
}

func boolean(path string, field *bool) attribute {
	read := func(v cty.Value) (bool, []fault) { return v.True(), nil }
	return bind(path, "true or false without quotes", cty.Bool, field, read, strconv.FormatBool)
}

func count(path string, field *int, low, high int64) attribute {
	read := func(v cty.Value) (int, []fault) {
		n, accuracy := v.AsBigFloat().Int64() // saturates: what does not fit is out of range
		if accuracy != big.Exact || n < low || n > high {
			return 0, invalid(fmt.Sprintf("must be a whole number, %d to %d", low, high), "").list()
		}
		return int(n), nil
	}
	return bind(path, "a whole number without quotes such as "+strconv.Itoa(cmp.Or(*field, 100)), cty.Number, field, read, strconv.Itoa)
}

func outOfRange(value, low, high string) *fault {
	return invalid("must be "+low+" to "+high+", not "+value, "")
}
