package main

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The colours of words that say how something is (ECMA-48, section 8.3.117).
const (
	green  = "32"
	yellow = "33"
	red    = "31;1"
	dim    = "2"
)

// paper is text on its way to a person: lines of textWidth, colour on a terminal only.
type paper struct {
	w     io.Writer
	color bool
}

func (e env) paper() paper { return paper{w: e.stdout, color: isTerminal(e.stdout)} }

// paint gives s a colour where there are any.
func (p paper) paint(style, s string) string {
	if !p.color || s == "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// paragraph writes s broken at blanks: the first line behind first, the others indented
// as far. width is that of first as it is seen.
func (p paper) paragraph(first string, width int, s string) {
	line, column := first, width
	for i, word := range strings.Fields(onlyText(s)) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > textWidth:
			p.line(line)
			line, column = strings.Repeat(" ", width), width
		default:
			line, column = line+" ", column+1
		}
		line, column = line+word, column+n
	}
	p.line(line)
}

// verbatim writes something to copy: every line of it as it is, indented by width.
func (p paper) verbatim(width int, s string) {
	for line := range strings.Lines(s) {
		p.line(strings.Repeat(" ", width) + onlyText(strings.TrimRight(line, "\n")))
	}
}

func (p paper) line(s string) {
	_, _ = io.WriteString(p.w, strings.TrimRight(s, " ")+"\n") // nowhere left to say so
}

// onlyText has nothing that could speak to a terminal: parts of the text are
// tailscaled's, a client's or a gateway's.
func onlyText(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}
