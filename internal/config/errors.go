package config

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"oauth-proxyd/internal/term"
)

// fault is what is wrong with a value. The functions that parse return it, and know only the value.
// The decoder makes a Diagnostic of it, with the path of the attribute and where the value was set.
// An Error has all Diagnostics.
type fault struct {
	summary string // follows the path; like the hint, it repeats no value that may hold a credential
	hint    string
	element int // of a list, from 1; 0: the whole value
}

func invalid(summary, hint string) *fault { return &fault{summary: summary, hint: hint} }

// list returns f alone, or nothing if it is nil.
func (f *fault) list() []fault {
	if f == nil {
		return nil
	}
	return []fault{*f}
}

// Error holds everything that is wrong with a configuration, one Diagnostic at least. What may be a
// credential is masked in it.
type Error struct {
	diagnostics []Diagnostic
	cause       error
}

// Diagnostic is one thing that is wrong, and where.
type Diagnostic struct {
	Severity string   `json:"severity"`          // "error" or "warning"
	Summary  string   `json:"summary"`           // what is wrong, in one line
	Detail   string   `json:"detail,omitempty"`  // how to fix it
	File     string   `json:"file,omitempty"`    // empty when Origin is set
	Line     int      `json:"line,omitempty"`    // from 1; 0: the file as a whole
	Column   int      `json:"column,omitempty"`  // from 1, in characters
	Origin   string   `json:"origin,omitempty"`  // the option or variable that set the value
	Snippet  *Snippet `json:"snippet,omitempty"` // nil where there is no source line
}

// Snippet is the source line of a Diagnostic, as it is shown: printable, with blanks for tabs,
// credentials masked, and cut around what is wrong with it.
type Snippet struct {
	Code  string `json:"code"`
	Start int    `json:"start"` // the first character of Code that is wrong, from 0;
	End   int    `json:"end"`   // the first one after them, at least Start+1
}

// Where returns the position in the form that editors and terminals can jump to, only the file if
// the whole file is meant, or the origin.
func (d Diagnostic) Where() string {
	switch {
	case d.Origin != "":
		return d.Origin
	case d.Line > 0:
		return d.File + ":" + strconv.Itoa(d.Line) + ":" + strconv.Itoa(d.Column)
	default:
		return d.File
	}
}

// Error returns one line: where and what the first error is, and how many more there are.
func (e *Error) Error() string {
	text := e.diagnostics[0].Where() + ": " + e.diagnostics[0].Summary
	if n := len(e.diagnostics) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return term.Clean(text)
}

// Unwrap returns why the file could not be read, or nil.
func (e *Error) Unwrap() error { return e.cause }

// Diagnostics lists everything that is wrong in the order of the file, the overrides last. The
// caller may change the list.
func (e *Error) Diagnostics() []Diagnostic { return slices.Clone(e.diagnostics) }

// Print writes every diagnostic for a person: where and what is wrong, the source line with a mark
// below it, and how to fix it.
func (e *Error) Print(p term.Printer) {
	for i, d := range e.diagnostics {
		if i > 0 {
			p.Line("")
		}
		where, summary := term.Clean(d.Where())+":", term.Clean(d.Summary)
		p.Line(p.Paint(term.Bold, where) + " " + p.Paint(term.Red, d.Severity+":") + " " + p.Paint(term.Bold, summary))
		if s := d.Snippet; s != nil {
			marks := p.Paint(term.Red, strings.Repeat("^", s.End-s.Start))
			p.Line(fmt.Sprintf("%5d | %s", d.Line, s.Code))
			p.Line(fmt.Sprintf("      | %*s%s", s.Start, "", marks))
		}
		if d.Detail != "" {
			p.Wrap("  "+p.Paint(term.Bold, "hint:")+" ", len("  hint: "), d.Detail)
		}
	}
}

// location is where a value was set, or where the file is wrong.
type location struct {
	origin    string // of an override; empty: the file
	hcl.Range        // in the file; the zero Range is the whole file
}

// report records an error in the file.
func (d *decoder) report(at hcl.Range, summary, hint string) {
	d.reportAt(location{Range: at}, summary, hint)
}

// reportAt records an error, unless it is in a line that could not be parsed: it would follow from
// that.
func (d *decoder) reportAt(at location, summary, hint string) {
	if d.full() || d.unparsed[at.Start.Line] {
		return
	}
	if len(d.errors) == maxErrors {
		at, summary, hint = location{}, "too many errors: only the first "+strconv.Itoa(maxErrors)+" are shown", ""
	}
	const longest = 500 // bytes; the parser quotes names of any length
	x := Diagnostic{
		Severity: "error", Summary: term.Cut(mask(summary), longest), Detail: term.Cut(mask(hint), longest),
		Origin: at.origin, Line: at.Start.Line, Column: at.Start.Column,
	}
	if x.Origin == "" {
		x.File = d.filename
	}
	if x.Line > 0 {
		x.Snippet = snippet(d.masked(), at.Range)
	}
	d.errors = append(d.errors, x)
}

func (d *decoder) full() bool { return len(d.errors) > maxErrors }

// failure returns all errors, those without a line last.
func (d *decoder) failure() *Error {
	line := func(x Diagnostic) int {
		if x.Line == 0 {
			return math.MaxInt
		}
		return x.Line
	}
	slices.SortStableFunc(d.errors, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(line(a), line(b)), cmp.Compare(a.Column, b.Column))
	})
	return &Error{diagnostics: d.errors}
}

// snippet shows the line on which something wrong begins, or the part of it that fits on a terminal
// of 80 columns behind its number; nil where that is blank.
func snippet(masked string, at hcl.Range) *Snippet {
	const width, before = 72, 24 // characters: in all, and in front of what is wrong in a longer line
	line, start := lineAt(masked, at.Start.Byte)
	end := min(start+at.End.Byte-at.Start.Byte, len(line))
	show := func(s string) []rune { return []rune(term.Clean(strings.ReplaceAll(s, "\t", "    "))) }
	code, from := show(line), len(show(line[:start]))
	s := &Snippet{Start: from, End: from + len(show(line[start:end]))}
	if cut := min(from-before, len(code)-width); cut > 0 {
		code = append([]rune("…"), code[cut+1:]...)
		s.Start, s.End = s.Start-cut, s.End-cut
	}
	if len(code) > width {
		code = append(code[:width-1], '…')
	}
	s.End = max(min(s.End, width), s.Start+1)
	s.Code = string(code)
	if strings.TrimSpace(s.Code) == "" {
		return nil
	}
	return s
}
