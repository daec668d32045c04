package config

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// WriteText writes all diagnostics for a person to read: position and
// summary, the source line with the faulty part marked, and what mends it.
// width is that of the terminal in columns; 0 breaks no lines and cuts none.
// color adds ANSI colors (ECMA-48). The error is the writer's.
func (e *Error) WriteText(w io.Writer, width int, color bool) error {
	t := printer{width: width, color: color}
	for i, d := range e.diagnostics {
		if i > 0 {
			t.out.WriteByte('\n')
		}
		t.heading(d)
		t.snippet(d)
		t.hint(d.Detail)
	}
	if _, err := w.Write(t.out.Bytes()); err != nil {
		return fmt.Errorf("writing the errors: %w", err)
	}
	return nil
}

type printer struct {
	out   bytes.Buffer
	width int
	color bool
}

const (
	red  = "31;1"
	bold = "1"
	dim  = "2"
)

func (t *printer) paint(style, s string) string {
	if !t.color || s == "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

func (t *printer) heading(d Diagnostic) {
	fmt.Fprintf(&t.out, "%s %s %s\n",
		t.paint(bold, printable(d.Where())+":"), t.paint(red, d.Severity+":"), t.paint(bold, printable(d.Summary)))
}

func (t *printer) snippet(d Diagnostic) {
	if d.Snippet == nil || strings.TrimSpace(d.Snippet.Code) == "" {
		return
	}
	number := fmt.Sprintf("%5d", d.Line)
	code, start, end := cells(d.Snippet)
	if t.width > 0 {
		code, start, end = window(code, start, end, max(t.width-len(number)-len(" | "), 20))
	}
	marks := strings.Repeat(" ", start) + t.paint(red, strings.Repeat("^", end-start))
	fmt.Fprintf(&t.out, "%s %s\n", t.paint(dim, number+" |"), string(code))
	fmt.Fprintf(&t.out, "%s %s\n", t.paint(dim, strings.Repeat(" ", len(number))+" |"), marks)
}

func (t *printer) hint(detail string) {
	const label = "  hint: "
	if detail == "" {
		return
	}
	t.out.WriteString(t.paint(bold, label))
	column := len(label)
	for i, word := range strings.Fields(printable(detail)) {
		length := len([]rune(word))
		switch {
		case i == 0:
		case t.width > 0 && column+1+length > t.width:
			t.out.WriteString("\n" + strings.Repeat(" ", len(label)))
			column = len(label)
		default:
			t.out.WriteByte(' ')
			column++
		}
		t.out.WriteString(word)
		column += length
	}
	t.out.WriteByte('\n')
}

// cells gives the line as it is shown, one rune a column, and which of them
// to mark: one at least, behind the line's end if need be.
func cells(s *Snippet) (code []rune, start, end int) {
	show := func(part string) []rune {
		return []rune(printable(strings.ReplaceAll(part, "\t", "    ")))
	}
	code = show(s.Code[:s.Start])
	start = len(code)
	code = append(code, show(s.Code[s.Start:s.End])...)
	end = max(len(code), start+1)
	return append(code, show(s.Code[s.End:])...), start, end
}

// window cuts a line to width columns about the marked part.
func window(code []rune, start, end, width int) (cut []rune, from, to int) {
	if len(code) <= width {
		return code, start, min(end, max(width, start+1))
	}
	left := max(0, min(start-width/3, len(code)-width))
	cut = append([]rune(nil), code[left:left+width]...)
	if left > 0 {
		cut[0] = '…'
	}
	if left+width < len(code) {
		cut[width-1] = '…'
	}
	return cut, start - left, max(min(end-left, width), start-left+1)
}

// printable makes a text safe for a terminal: what the file holds could move
// the cursor or hide itself.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
