package config

import (
	"strconv"
	"strings"

	"github.com/agext/levenshtein"

	"oauth-proxyd/internal/term"
)

// quote quotes what the file says, shortened to what fits on a line.
func quote(s string) string { return strconv.Quote(term.Cut(s, 60)) }

// enumerate returns `"a", "b" or "c"`; there are two words at least.
func enumerate(words []string) string {
	last := len(words) - 1
	return `"` + strings.Join(words[:last], `", "`) + `" or ` + strconv.Quote(words[last])
}

// DidYouMean returns a hint at the candidate that is most similar to a mistyped word, or "" if none
// is similar enough. A common prefix makes up for differences after it.
func DidYouMean(word string, candidates []string) string {
	const longest = 64 // the comparison takes quadratic time
	if len(word) > longest {
		return ""
	}
	best, hint := 0.59, "" // what two letters exchanged in a word of five leave
	params := levenshtein.NewParams().BonusThreshold(0)
	for _, candidate := range candidates {
		if score := levenshtein.Match(fold(word), fold(candidate), params); score > best {
			best, hint = score, "did you mean "+strconv.Quote(candidate)+"?"
		}
	}
	return hint
}

// fold removes differences in case and between - and _.
func fold(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }

func isAlphanumeric(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

// isVisible reports whether s is printable and free of spaces.
func isVisible(s string) bool { return term.Printable(s) && !strings.Contains(s, " ") }

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
