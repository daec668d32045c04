package config

import (
	"strconv"
	"strings"
)

// quote quotes what the file says, cut to what fits on a line.
func quote(s string) string {
	const longest = 60
	return strconv.Quote(shorten(s, longest))
}

// shorten cuts s to a number of characters.
func shorten(s string, longest int) string {
	count := 0
	for i := range s {
		if count == longest {
			return s[:i] + "…"
		}
		count++
	}
	return s
}

// enumerate gives `"a", "b" or "c"`.
func enumerate(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = strconv.Quote(word)
	}
	last := len(quoted) - 1
	if last < 1 {
		return strings.Join(quoted, "")
	}
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

// nearest is the candidate that somebody who typed word most likely meant, or
// nothing.
func nearest(word string, candidates []string) string {
	const longest = 64 // nobody mistypes more, and the distance is quadratic
	if len(word) > longest {
		return ""
	}
	best, found := 4, ""
	for _, candidate := range candidates {
		a, b := fold(word), fold(candidate)
		limit := min(best, 3, len(b)/3+1)
		if len(a) > 3 && len(b) > 3 && a[:4] == b[:4] {
			limit = best // a common beginning makes up for a longer way
		}
		if d := distance(a, b); d < limit || d == 0 {
			best, found = d, candidate
		}
	}
	return found
}

// fold drops the differences that are always a slip.
func fold(s string) string {
	return strings.ReplaceAll(strings.ToLower(s), "-", "_")
}

// distance is the optimal string alignment distance: the least number of
// letters to insert, delete, replace, or exchange with their neighbor.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			replaced := last[j]
			if a[i] != b[j] {
				replaced++
			}
			row[j+1] = min(replaced, row[j]+1, last[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
