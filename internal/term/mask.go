package term

import (
	"encoding/hex"
	"regexp"
	"strings"
)

// Mask returns s with asterisks, byte for byte, in place of what may be a credential: a token of
// Anthropic after its kind, a JWT (RFC 7519) after its first letters, all between a colon and an @,
// and the group in each match of more patterns. It also finds percent-encoded ones, but for blanks,
// quotes and slashes: gateways may encode a path again.
func Mask(s string, more ...string) string {
	harmless := func(s string) bool { // without a pattern, which takes long to compile
		return more == nil && !strings.Contains(s, "@") && !strings.Contains(s, "eyJ") && !strings.Contains(strings.ToLower(s), "sk-ant-")
	}
	if harmless(s) && !strings.Contains(s, "%") {
		return s // almost always
	}
	masked := []byte(s)
	for _, encoded := range []string{s, strings.ReplaceAll(s, "%", "+")} { // also as it is
		text, at := decode(encoded)
		if harmless(string(text)) {
			continue
		}
		for _, pattern := range append(more,
			`(?i:sk-ant-(?:(?:admin|[a-z]{3})[0-9]{0,2}\b-?)?)((?:[^\s"]*[^\s",:])?)`,
			`eyJ([^\s/]*\.[^\s/]*\.[^\s/]*)`,
			`:([^\s"]*)@`,
		) {
			for _, found := range regexp.MustCompile(pattern).FindAllSubmatchIndex(text, -1) {
				for i := at[found[2]]; i < at[found[3]]; i++ {
					masked[i] = '*'
				}
			}
		}
	}
	return string(masked)
}

// decode undoes percent-encoding, however often it was applied. at is where in s each byte of the
// text begins, and where s ends.
func decode(s string) (text []byte, at []int) {
	for i := range len(s) {
		text, at = append(text, s[i]), append(at, i)
		for n := len(text) - 3; n >= 0 && text[n] == '%'; n = len(text) - 3 {
			c, err := hex.DecodeString(string(text[n+1:]))
			if err != nil || c[0] <= ' ' || c[0] > '~' || c[0] == '"' || c[0] == '/' {
				break
			}
			text, at = append(text[:n], c[0]), at[:n+1]
		}
	}
	return text, append(at, len(s))
}

// Unquoted removes the quoted strings of an error text, in which net/http shows bytes of a request
// or a response, which may be secret.
func Unquoted(text string) string {
	if !strings.Contains(text, `"`) { // a flood of refused requests calls it for each
		return text
	}
	return regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*(?:"|\\?$)`).ReplaceAllString(text, `"…"`)
}
