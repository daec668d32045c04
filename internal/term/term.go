// Package term writes text for a person: as wide as their terminal, in colour where they want it,
// and with nothing in it that a terminal would obey.
//
// Text from elsewhere, a client's path or tailscaled's error, is made harmless by [Clean] and
// shortened by [Cut]. A [Printer] does the former on its own for the text that it wraps:
//
//	p := term.NewPrinter(os.Stdout)
//	p.Wrap(p.Paint(term.Red, "FAIL")+"  tailscaled  ", 18, finding.Seen)
//	p.Verbatim(4, finding.Command)
//
// On a terminal, a Printer has its width, and colours unless NO_COLOR or TERM=dumb is set. Into a
// pipe or a file, it wraps nothing and colours nothing: a program that reads the text finds each
// item on one line.
package term

import (
	"io"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// IsTerminal reports whether w is a terminal. /dev/null is none.
func IsTerminal(w io.Writer) bool {
	_, _, ok := sizeOf(w)
	return ok
}

// sizeOf returns the size of the terminal that w is. Only terminals have a window size; that of a
// serial console is 0. File.Fd is not used, as it would make the descriptor blocking.
func sizeOf(w io.Writer) (columns, rows int, ok bool) {
	f, isFile := w.(syscall.Conn)
	if !isFile {
		return 0, 0, false
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, 0, false
	}
	_ = raw.Control(func(fd uintptr) { // fails for a closed file
		if size, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ); err == nil {
			columns, rows, ok = int(size.Col), int(size.Row), true
		}
	})
	return columns, rows, ok
}

// Printable reports whether s is UTF-8 without control characters, escape sequences, line breaks
// and characters that turn the direction of writing.
func Printable(s string) bool {
	ascii := 0
	for ascii < len(s) && ' ' <= s[ascii] && s[ascii] <= '~' {
		ascii++
	}
	s = s[ascii:] // mostly empty
	for i, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)) {
			return false
		}
	}
	return true
}

// Clean makes s Printable, in one line: each white space becomes a blank, each other character that
// does not print, and each byte that is not UTF-8, U+FFFD. The number of characters stays the same.
func Clean(s string) string {
	if Printable(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return unicode.ReplacementChar
	}, s)
}

// Cut shortens s to at most limit bytes, with an ellipsis at the end, between two characters.
func Cut(s string, limit int) string {
	const mark = "…"
	if len(s) <= limit {
		return s
	}
	end := max(limit-len(mark), 0)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}
