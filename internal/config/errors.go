package config

import (
	"cmp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Error holds everything that is wrong with a configuration, one Diagnostic
// at least. Nothing in it holds a credential: what may be one is masked.
type Error struct {
	file        string
	diagnostics []Diagnostic
	cause       error
}

// Diagnostic is one thing that is wrong, and where.
type Diagnostic struct {
	Severity string   `json:"severity"`          // "error" or "warning"
	Summary  string   `json:"summary"`           // what is wrong, one line
	Detail   string   `json:"detail,omitempty"`  // what mends it
	File     string   `json:"file,omitempty"`    // empty when Origin is set
	Line     int      `json:"line,omitempty"`    // from 1; 0: the file as a whole
	Column   int      `json:"column,omitempty"`  // from 1, in characters
	Origin   string   `json:"origin,omitempty"`  // the option or variable that gave the value
	Snippet  *Snippet `json:"snippet,omitempty"` // nil where there is no source line
}

// Snippet is the source line of a Diagnostic.
type Snippet struct {
	Context string `json:"context,omitempty"` // the block around it, such as `header "anthropic-beta"`
	Code    string `json:"code"`              // the line without its end, or 1000 bytes of a longer one, credentials masked
	Start   int    `json:"start"`             // byte offsets of the faulty part in Code;
	End     int    `json:"end"`               // equal where something is missing
}

// Where is the place to look at, in the form that editors and terminals know how to
// jump to; the file alone where all of it is meant.
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

// Error is one line: the file, how many errors there are, and the first.
func (e *Error) Error() string {
	first := e.diagnostics[0]
	text := first.Summary
	switch {
	case first.Origin != "":
		text = first.Origin + ": " + text
	case first.Line > 0:
		text = strconv.Itoa(first.Line) + ":" + strconv.Itoa(first.Column) + ": " + text
	}
	if n := len(e.diagnostics); n > 1 {
		text = strconv.Itoa(n) + " errors, the first: " + text
	}
	return printable(e.file + ": " + text)
}

// Unwrap is why the file could not be read, nil where it could.
func (e *Error) Unwrap() error { return e.cause }

// Diagnostics lists everything that is wrong, in the order of the file, what
// the overrides brought last. The caller may change the list.
func (e *Error) Diagnostics() []Diagnostic { return slices.Clone(e.diagnostics) }

// failure makes the findings into an Error.
func (d *decoder) failure() *Error {
	d.dropEchoes()
	slices.SortStableFunc(d.findings, func(a, b finding) int {
		if a.origin != "" || b.origin != "" {
			return cmp.Compare(len(a.origin), 0) - cmp.Compare(len(b.origin), 0)
		}
		return cmp.Compare(a.at.Start.Byte, b.at.Start.Byte)
	})
	e := &Error{file: d.filename}
	m := newMasker(d.src)
	for _, f := range d.findings[:min(len(d.findings), maxFindings)] {
		e.diagnostics = append(e.diagnostics, d.diagnostic(f, m))
	}
	if d.full() {
		e.diagnostics = append(e.diagnostics, Diagnostic{
			Severity: "error", File: d.filename,
			Summary: "too many errors: the file may have more than the " + strconv.Itoa(maxFindings) + " that are shown",
		})
	}
	return e
}

func (d *decoder) diagnostic(f finding, m *masker) Diagnostic {
	diagnostic := Diagnostic{
		Severity: "error",
		Summary:  shorten(m.message(f.summary), maxMessage),
		Detail:   shorten(m.message(f.hint), maxMessage),
		Origin:   f.origin,
	}
	if f.origin != "" {
		return diagnostic
	}
	diagnostic.File = d.filename
	diagnostic.Line, diagnostic.Column = f.at.Start.Line, f.at.Start.Column
	diagnostic.Snippet = d.snippet(f, m)
	return diagnostic
}

// maxMessage and maxCode bound what is shown of a file, in characters and in bytes.
const (
	maxMessage = 500
	maxCode    = 1000
)

// snippet shows the line on which the fault begins.
func (d *decoder) snippet(f finding, m *masker) *Snippet {
	code, start := d.line(f.at.Start.Byte)
	if len(code) > maxLine {
		return nil // looking for credentials in it would take too long
	}
	end := min(start+f.at.End.Byte-f.at.Start.Byte, len(code))
	for end > start && end < len(code) && !utf8.RuneStart(code[end]) {
		end++
	}
	code = m.line(code, f.at.Start.Byte-start+len(code))
	s := &Snippet{Context: shorten(m.message(f.context), maxMessage), Code: code, Start: start, End: end}
	s.cut()
	return s
}

// cut leaves maxCode bytes of a longer line, the beginning of the fault among them.
func (s *Snippet) cut() {
	if len(s.Code) <= maxCode {
		return
	}
	from := max(0, min(s.Start-maxCode/4, len(s.Code)-maxCode))
	to := from + maxCode
	for from < s.Start && !utf8.RuneStart(s.Code[from]) {
		from++
	}
	for to < len(s.Code) && !utf8.RuneStart(s.Code[to]) {
		to--
	}
	s.Code, s.Start, s.End = s.Code[from:to], s.Start-from, min(s.End, to)-from
}
