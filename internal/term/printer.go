package term

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
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

// Printer writes text for a person. It returns no errors: if they matter, Out must keep them.
type Printer struct {
	Out    io.Writer
	Width  int // columns; 0 does not wrap
	Height int // rows; 0: Out is not a terminal
	Color  bool
}

// NewPrinter returns a Printer with the size and the colours of out, if that is a terminal.
// NO_COLOR (https://no-color.org) and TERM=dumb switch colours off.
func NewPrinter(out io.Writer) Printer {
	const narrowest, unknown, unknownRows = 40, 80, 24
	columns, rows, ok := sizeOf(out)
	if !ok {
		return Printer{Out: out}
	}
	color := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return Printer{Out: out, Width: max(cmp.Or(columns, unknown), narrowest), Height: cmp.Or(rows, unknownRows), Color: color}
}

// Paint returns s in a style, or as it is without colours.
func (p Printer) Paint(style Style, s string) string {
	if !p.Color || s == "" {
		return s
	}
	return "\x1b[" + string(style) + "m" + s + "\x1b[0m"
}

// Outcome returns the outcome of a check in a column: "ok", "fail" or another word. A failure is in
// capitals, so that it stands out without colour.
func (p Printer) Outcome(word string, column int) string {
	style := Yellow
	switch word {
	case "ok":
		style = Green
	case "fail":
		style, word = Red, "FAIL"
	}
	return p.Paint(style, fmt.Sprintf("%-*s", column, word))
}

// Line writes s without blanks at its end. Text from elsewhere must be clean.
func (p Printer) Line(s string) {
	_, _ = io.WriteString(p.Out, strings.TrimRight(s, " ")+"\n") // see Printer
}

// Wrap writes first and then text, in lines of at most Width columns. All lines but the first are
// indented. It cleans text, but not first, which may be painted.
func (p Printer) Wrap(first string, indent int, text string) {
	line, begun := first, false
	for _, piece := range p.pieces(Clean(text), indent) {
		if begun && p.Width > 0 && paintedColumns(line+strings.TrimRight(piece, " ")) > p.Width {
			p.Line(line)
			line = strings.Repeat(" ", indent)
		}
		line, begun = line+piece, true
	}
	p.Line(line)
}

// pieces returns the words of text. A word that is longer than a line is split after its commas.
func (p Printer) pieces(text string, indent int) (pieces []string) {
	for word := range strings.FieldsSeq(text) {
		if p.Width > 0 && paintedColumns(word) > p.Width-indent {
			pieces = append(pieces, strings.SplitAfter(word+" ", ",")...)
		} else {
			pieces = append(pieces, word+" ")
		}
	}
	return pieces
}

// Verbatim writes text that may be copied: it cleans and indents each line, but does not wrap it.
func (p Printer) Verbatim(indent int, text string) {
	for line := range strings.Lines(text) {
		p.Line(strings.Repeat(" ", indent) + Clean(strings.TrimRight(line, "\n")))
	}
}

// paintedColumns returns the width of a text that may be painted.
func paintedColumns(s string) (n int) {
	for i, part := range strings.Split(s, "\x1b[") {
		if i > 0 {
			_, part, _ = strings.Cut(part, "m")
		}
		n += columnsOf(part)
	}
	return n
}
