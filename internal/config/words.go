package config

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/agext/levenshtein"

	"oauth-proxyd/internal/term"
)

// quote quotes what the file says, shortened to what fits on a line.
func quote(s string) string { return strconv.Quote(term.Cut(s, 60)) }

// enumerate returns `"a", "b" or "c"`.
func enumerate(words []string) string {
	last := len(words) - 1
	all := strconv.Quote(words[last])
	if last > 0 {
		all = `"` + strings.Join(words[:last], `", "`) + `" or ` + all
	}
	return all
}

// nearest returns the candidate that somebody who typed word most likely meant, or "". A common
// beginning makes up for mistakes behind it.
func nearest(word string, candidates []string) string {
	const longest = 64 // the comparison takes quadratic time
	if len(word) > longest {
		return ""
	}
	best, found := 0.59, "" // what two letters exchanged in a word of five leave
	params := levenshtein.NewParams().BonusThreshold(0)
	for _, candidate := range candidates {
		if score := levenshtein.Match(fold(word), fold(candidate), params); score > best {
			best, found = score, candidate
		}
	}
	return found
}

// fold drops the differences that are always a slip.
func fold(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }

func isAlphanumeric(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

// isVisible reports whether s is printable and free of spaces.
func isVisible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == ' ' })
}

// isHostname reports whether s has the form of a host name (RFC 1123, section 2.1). Underscores are
// accepted, as resolvers do.
func isHostname(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		odd := strings.ContainsFunc(label, func(r rune) bool { return !isAlphanumeric(r) && r != '-' && r != '_' })
		if odd || label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return len(s) <= 253
}

// isFieldName reports whether s is a token (RFC 9110, section 5.6.2).
func isFieldName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !isAlphanumeric(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// isFieldValue reports whether s is a field value (RFC 9110, section 5.5): no control characters
// but the tab, and no space at either end.
func isFieldValue(s string) bool {
	control := strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
	return !control && s == strings.Trim(s, " \t")
}
