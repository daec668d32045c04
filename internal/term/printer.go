package term

import (
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Style is a colour or a weight: the parameters of SGR (ECMA-48, section 8.3.117).
type Style string

// The styles.
const (
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "31;1"
	Green  Style = "32"
	Yellow Style = "33"
)

// Printer writes text for a person. It reports no errors: nobody is left to read about them.
type Printer struct {
	Out   io.Writer
	Width int // columns; 0 does not wrap
	Color bool
}

// NewPrinter returns a Printer that suits out: with the width and the colours of a terminal, or with neither.
func NewPrinter(out io.Writer) Printer {
	const narrowest, unknown = 40, 80
	columns, ok := columnsOf(out)
	switch {
	case !ok:
		return Printer{Out: out}
	case columns == 0:
		columns = unknown
	}
	return Printer{Out: out, Width: max(columns, narrowest), Color: HasColor(out)}
}

// Paint gives s a style where there is colour.
func (p Printer) Paint(style Style, s string) string {
	if !p.Color || s == "" {
		return s
	}
	return "\x1b[" + string(style) + "m" + s + "\x1b[0m"
}

// Line writes s as it is, without blanks at its end. What is not the program's own must be clean.
func (p Printer) Line(s string) {
	_, _ = io.WriteString(p.Out, strings.TrimRight(s, " ")+"\n") // see Printer
}

// Wrap writes text behind first, broken at blanks to lines of at most Width columns, of which the second and later ones
// are indented. A word that is longer than a line is broken behind its commas. Text is cleaned, first is not: it may
// be painted.
func (p Printer) Wrap(first string, indent int, text string) {
	line, column, begun := first, columns(first), false
	for _, word := range strings.Fields(Clean(text)) {
		for i, part := range p.parts(word, indent) {
			gap := ""
			if begun && i == 0 {
				gap = " "
			}
			n := utf8.RuneCountInString(part)
			if begun && p.Width > 0 && column+len(gap)+n > p.Width {
				p.Line(line)
				line, column, gap = strings.Repeat(" ", indent), indent, ""
			}
			line, column, begun = line+gap+part, column+len(gap)+n, true
		}
	}
	p.Line(line)
}

func (p Printer) parts(word string, indent int) []string {
	if p.Width > 0 && utf8.RuneCountInString(word) > p.Width-indent {
		return strings.SplitAfter(word, ",")
	}
	return []string{word}
}

// Verbatim writes text to copy: every line of it cleaned and indented, but not wrapped.
func (p Printer) Verbatim(indent int, text string) {
	for line := range strings.Lines(text) {
		p.Line(strings.Repeat(" ", indent) + Clean(strings.TrimRight(line, "\n")))
	}
}

// columns is the width of a painted text.
func columns(s string) int {
	return utf8.RuneCountInString(regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(s, ""))
}
