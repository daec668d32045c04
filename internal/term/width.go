package term

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// columnsOf returns how many columns of a terminal a clean text takes.
func columnsOf(s string) (n int) {
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

// Fit returns s in exactly this many columns: cut, with an ellipsis at the end, or followed by
// blanks.
func Fit(s string, columns int) string {
	if n := columnsOf(s); n <= columns {
		return s + strings.Repeat(" ", columns-n)
	}
	end, n := 0, columns-1 // for the ellipsis
	for i, r := range s {
		if n < runeColumns(r) {
			end = i
			break
		}
		n -= runeColumns(r)
	}
	return s[:end] + "…" + strings.Repeat(" ", n)
}

// runeColumns returns the width of a character: 0 if it is a mark on the one before, 2 for the wide
// ones of UAX #11.
func runeColumns(r rune) int {
	if r < ' ' || unicode.In(r, unicode.Mn, unicode.Me) || firstVowel <= r && r <= lastVowel {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

// Hangul vowels and final consonants, which terminals join with the letter before them.
const firstVowel, lastVowel = '\u1160', '\u11ff'
