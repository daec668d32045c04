package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// mask replaces possible credentials by asterisks, byte for byte, so that positions stay right. It
// works on text, because lines that cannot be parsed are shown as well, and masks too much rather
// than too little.
func mask(s string) string {
	for _, pattern := range []string{
		`(?i)` + encoded("sk-ant-") + `(?:[a-z]{2,5}[0-9]{0,2}\b-?)?([^\s"]*)`, // an Anthropic token, except its kind
		`\beyJ([\w-]*\.[\w-]*\.[\w-]*)`,                                        // a JWT (RFC 7519), except how it begins
		`(?i)\b(?:bearer|basic)[ \t=:]+([^\s"]+)`,                              // RFC 9110, section 11.4
		`(?i)(?:authorization|x-api-key)[ \t]*=(.*)`,                           // a header written as an attribute
		`://([^"\n]*)` + encoded("@"),                                          // userinfo of a URL (RFC 3986, section 3.2.1),
		`[^\s":/@]+` + encoded(":") + `([^\s"@]*)` + encoded("@"),              // of one without a scheme,
		`upstream_(?:url|proxy)\b.*?[=:][ \t]*"?(.*)` + encoded("@"),           // and of whatever else is not a URL
		`upstream_(?:url|proxy)[ \t]*[=:][^?\n]*\?([^"\n]*)`,                   // a query
	} {
		s = maskGroup(s, pattern)
	}
	return s
}

// encoded returns a pattern for a text of which any character may be percent-encoded, even again.
func encoded(text string) string {
	var pattern strings.Builder
	for _, c := range text {
		fmt.Fprintf(&pattern, `(?:%c|%%(?:25)*(?i:%x|%x))`, c, c, unicode.ToUpper(c))
	}
	return pattern.String()
}

// maskFile also masks all values in rules for headers that carry secrets, and user names and
// queries in lists of proxies.
func maskFile(src string) string {
	block := regexp.MustCompile(`^\s*(proxy|tailscale|identity|access|header|metrics|log)\b([^={]*)(=?)`)
	var masked strings.Builder
	secret := false
	for line := range strings.Lines(src) {
		if m := block.FindStringSubmatch(line); m != nil && m[3] == "" { // otherwise an attribute: identity has a header
			secret = m[1] == "header" && SoundsSecret(m[2])
		}
		if secret {
			line = maskGroup(line, `=(.*)`)
		}
		masked.WriteString(line)
	}
	proxies := regexp.MustCompile(`upstream_proxy\s*=\s*\[[^\]]*`)
	return mask(proxies.ReplaceAllStringFunc(masked.String(), func(list string) string {
		return maskGroup(maskGroup(list, `"([^"\n]*)@`), `\?([^"\n]*)`)
	}))
}

// maskGroup masks what the first group of the pattern matches.
func maskGroup(s, pattern string) string {
	masked := []byte(s)
	for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatchIndex(s, -1) {
		if found[2] >= 0 {
			copy(masked[found[2]:found[3]], strings.Repeat("*", found[3]-found[2]))
		}
	}
	return string(masked)
}

// SoundsSecret reports whether the name of a header says that it carries secrets.
func SoundsSecret(name string) bool {
	words := []string{"token", "secret", "key", "auth", "cookie", "password", "session"}
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(strings.ToLower(name), word) })
}
