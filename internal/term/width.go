package term

import (
	"strings"
	"unicode"
)

// Columns returns how many columns of a terminal a clean text takes.
func Columns(s string) (n int) {
	for _, r := range s {
		n += columnsOf(r)
	}
	return n
}

// Fit returns s in exactly this many columns: cut, with an ellipsis at the end, or followed by
// blanks.
func Fit(s string, columns int) string {
	if n := Columns(s); n <= columns {
		return s + strings.Repeat(" ", columns-n)
	}
	end, n := 0, columns-1 // for the ellipsis
	for i, r := range s {
		if n < columnsOf(r) {
			end = i
			break
		}
		n -= columnsOf(r)
	}
	return s[:end] + "…" + strings.Repeat(" ", n)
}

// columnsOf returns the width of a character: 0 if it is a mark on the one before, 2 for the wide
// ones of UAX #11.
func columnsOf(r rune) int {
	switch {
	case r < ' ', unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case r >= firstWide && isWide(r):
		return 2
	}
	return 1
}

// The limits of blocks of characters that are wide, or narrow in spite of their script.
const (
	firstWide                       = '\u1100'
	firstVowel, lastVowel           = '\u1160', '\u11ff' // Hangul, joined with the letter before them
	firstHalf, lastHalf             = '\uff61', '\uffdc'
	firstPunctuation, lastOfCJK     = '\u3000', '\u33ff'
	firstVertical, lastSmall        = '\ufe30', '\ufe6f'
	firstFull, lastFull             = '\uff01', '\uff60'
	firstSign, lastSign             = '\uffe0', '\uffe6'
	firstPictograph, lastPictograph = '\U0001f000', '\U0001faff'
)

func isWide(r rune) bool {
	within := func(first, last rune) bool { return first <= r && r <= last }
	switch {
	case within(firstVowel, lastVowel), within(firstHalf, lastHalf):
		return false
	case within(firstPunctuation, lastOfCJK), within(firstVertical, lastSmall), within(firstFull, lastFull),
		within(firstSign, lastSign), within(firstPictograph, lastPictograph):
		return true
	}
	const emoji = "⌚⌛⏩⏪⏫⏬⏰⏳◽◾☔☕♈♉♊♋♌♍♎♏♐♑♒♓♿⚓⚡⚪⚫⚽⚾⛄⛅⛎⛔⛪⛲⛳⛵⛺⛽✅✊✋✨❌❎❓❔❕❗➕➖➗➰➿⬛⬜⭐⭕"
	return unicode.In(r, unicode.Han, unicode.Hangul, unicode.Yi, unicode.Tangut) || strings.ContainsRune(emoji, r)
}
