package config

import (
	"cmp"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// attribute binds one name of the file to one field of a Config.
type attribute struct {
	name    string
	want    string // what the value must be, to follow "wants"
	kind    cty.Type
	single  bool // of a list: a string stands for a list of one
	restart bool // a change needs a restart
	set     func(cty.Value) []fault
	get     func() string // the field in the spelling of the file
	content func() string // of the file that the field names; nil: it names none
}

// fault is what is wrong with a value, to follow the name of its attribute.
// It never repeats a value that may hold a credential.
type fault struct {
	summary string
	hint    string
	element int // of a list, from 1; 0: the value as a whole
}

func (a attribute) needsRestart() attribute {
	a.restart = true
	return a
}

// accepts says whether a value is of the attribute's kind. Nothing is
// converted: "5" is not a number.
func (a attribute) accepts(t cty.Type) bool {
	if a.kind == listKind() {
		return t.IsTupleType() || t.IsListType() || t.IsSetType() || a.single && t == cty.String
	}
	return t == a.kind
}

func listKind() cty.Type { return cty.List(cty.String) }

// text binds a string that parse turns into a field.
func text[T any](name, example string, field *T, parse func(string) (T, *fault), spell func(T) string) attribute {
	return attribute{
		name: name,
		want: "a string such as " + strconv.Quote(example),
		kind: cty.String,
		set: func(v cty.Value) []fault {
			parsed, wrong := parse(v.AsString())
			if wrong != nil {
				return []fault{*wrong}
			}
			*field = parsed
			return nil
		},
		get: func() string { return strconv.Quote(spell(*field)) },
	}
}

func duration(name string, field *time.Duration, low, high time.Duration) attribute {
	parse := func(s string) (time.Duration, *fault) { return parseDuration(s, low, high) }
	return text(name, spellDuration(*field), field, parse, spellDuration)
}

func size(name string, field *int64, low, high int64) attribute {
	parse := func(s string) (int64, *fault) { return parseSize(s, low, high) }
	return text(name, spellSize(*field), field, parse, spellSize)
}

func level(name string, field *slog.Level) attribute {
	spell := func(l slog.Level) string { return strings.ToLower(l.String()) }
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	return oneOf(name, field, spell, levels)
}

func choice[T ~string](name string, field *T, values ...T) attribute {
	return oneOf(name, field, func(v T) string { return string(v) }, values)
}

// oneOf binds a string that is one of a few words.
func oneOf[T any](name string, field *T, spell func(T) string, values []T) attribute {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = spell(v)
	}
	parse := func(s string) (T, *fault) {
		if i := slices.Index(words, s); i >= 0 {
			return values[i], nil
		}
		var none T
		hint := "one of " + enumerate(words)
		if near := nearest(s, words); near != "" {
			hint = "did you mean " + strconv.Quote(near) + "? It is " + hint
		}
		return none, &fault{summary: quote(s) + " is not known", hint: hint}
	}
	return text(name, spell(*field), field, parse, spell)
}

// path binds the absolute path of a file, which need not exist, or nothing.
func path(name string, field *string, example, suffix string) attribute {
	parse := func(s string) (string, *fault) {
		switch {
		case s == "":
			return "", nil
		case strings.ContainsRune(s, 0):
			return "", &fault{summary: "a path has no NUL byte"}
		case !filepath.IsAbs(s):
			return "", &fault{summary: quote(s) + " is not an absolute path", hint: "begin with a slash: " + strconv.Quote(example)}
		case strings.HasSuffix(s, "/"):
			return "", &fault{summary: quote(s) + " is a directory", hint: "name the file in it"}
		case !strings.HasSuffix(s, suffix):
			return "", &fault{summary: quote(s) + " does not end in " + suffix, hint: "node_exporter reads no other files"}
		}
		return filepath.Clean(s), nil
	}
	return text(name, example, field, parse, func(s string) string { return s })
}

func boolean(name string, field *bool) attribute {
	return attribute{
		name: name,
		want: "true or false without quotes",
		kind: cty.Bool,
		set: func(v cty.Value) []fault {
			*field = v.True()
			return nil
		},
		get: func() string { return strconv.FormatBool(*field) },
	}
}

func count(name string, field *int, low, high int64) attribute {
	return attribute{
		name: name,
		want: "a whole number without quotes, such as " + strconv.Itoa(cmp.Or(*field, 100)),
		kind: cty.Number,
		set: func(v cty.Value) []fault {
			number := v.AsBigFloat()
			if !number.IsInt() {
				return []fault{{summary: number.Text('g', 10) + " is not a whole number"}}
			}
			n, _ := number.Int64() // saturates, which is out of range too
			if n < low || n > high {
				return []fault{{
					summary: number.Text('g', 20) + " is out of range",
					hint:    strconv.FormatInt(low, 10) + " to " + strconv.FormatInt(high, 10),
				}}
			}
			*field = int(n)
			return nil
		},
		get: func() string { return strconv.Itoa(*field) },
	}
}

// sources binds a list of sources. An empty one is refused where it would
// shut everybody out.
func sources(name string, field *[]Source, needed bool) attribute {
	return attribute{
		name: name,
		want: `a list of strings such as ["local", "tailnet"]`,
		kind: listKind(),
		set: func(v cty.Value) []fault {
			list, faults := parseSources(v)
			if len(faults) == 0 && len(list) == 0 && needed {
				faults = []fault{{
					summary: "an empty list refuses every request",
					hint:    `leave the line out for the default, ["local", "tailnet"], or name who may send requests`,
				}}
			}
			if len(faults) == 0 {
				*field = list
			}
			return faults
		},
		get: func() string { return spellSources(*field) },
	}
}
