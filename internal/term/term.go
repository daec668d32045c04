// Package term writes text for a person: as wide as the terminal, in colour unless that is switched
// off, and without control characters from elsewhere.
//
// [Clean] makes text from elsewhere harmless, such as a client's path or tailscaled's error, [Mask]
// hides credentials in it, [Unquoted] what a peer sent, [Cut] shortens it, and [Fit] puts it into a
// column. A [Printer] cleans the text that it wraps:
//
//	p := term.NewPrinter(os.Stdout)
//	p.Wrap(p.Paint(term.Red, "FAIL")+"  tailscaled  ", 18, finding.Seen)
//	p.Verbatim(4, finding.Command)
//
// In a pipe or a file, a Printer neither wraps nor colours, so that a program finds each item on
// one line. term.go has texts and terminals, mask.go credentials, width.go columns, printer.go the
// Printer.
package term

import (
	"io"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// IsTerminal reports whether w is a terminal. /dev/null is not.
func IsTerminal(w io.Writer) bool {
	_, _, ok := sizeOf(w)
	return ok
}

// sizeOf returns the size of a terminal; ok is false if w is not one. The size of a serial console
// is 0. It does not use File.Fd, which makes the descriptor blocking.
func sizeOf(w io.Writer) (columns, rows int, ok bool) {
	f, isFile := w.(syscall.Conn)
	if !isFile {
		return 0, 0, false
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, 0, false
	}
	_ = raw.Control(func(fd uintptr) { // a closed file is not a terminal
		if size, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ); err == nil {
			columns, rows, ok = int(size.Col), int(size.Row), true
		}
	})
	return columns, rows, ok
}

// Printable reports whether s is UTF-8 without control characters, escape sequences, line breaks
// and characters that change the direction of writing.
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

// Clean makes s Printable. White space becomes a blank; other characters that do not print, and
// bytes that are not UTF-8, become U+FFFD. The number of characters stays the same.
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
