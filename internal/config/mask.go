package config

import (
	"regexp"
	"slices"
	"strings"

	"oauth-proxyd/internal/term"
)

// mask replaces possible credentials by asterisks, byte for byte, so that positions stay right. It
// works on text, because lines that cannot be parsed are shown as well, and masks too much rather
// than too little.
func mask(s string) string {
	return term.Mask(s,
		`(?i)\b(?:bearer|basic)[ \t=:]+([^\s"]+)`,    // RFC 9110, section 11.4
		`(?i)(?:authorization|x-api-key)[ \t]*=(.*)`, // a header written as an attribute
		`://([^"\n]*)@`, // userinfo of a URL (RFC 3986, section 3.2.1),
		`upstream_(?:url|proxy)\b.*?[=:][ \t]*"?(.*)@`,       // and of whatever else is not a URL
		`upstream_(?:url|proxy)[ \t]*[=:][^?\n]*\?([^"\n]*)`, // a query
	)
}

// maskFile also masks all values in rules for headers that carry secrets, and user names and
// queries in lists of proxies.
func maskFile(src string) string {
	block := regexp.MustCompile(`^\s*(proxy|tailscale|identity|access|header|metrics|log)\b([^={]*)(=?)`)
	value, proxies := regexp.MustCompile(`=.*`), regexp.MustCompile(`upstream_proxy\s*=\s*\[[^\]]*`)
	user, query := regexp.MustCompile(`"[^"\n]*@`), regexp.MustCompile(`\?[^"\n]*`)
	stars := func(s string) string { return s[:1] + strings.Repeat("*", len(s)-1) }
	var masked strings.Builder
	secret := false
	for line := range strings.Lines(src) {
		if m := block.FindStringSubmatch(line); m != nil && m[3] == "" { // otherwise an attribute: identity has a header
			secret = m[1] == "header" && SoundsSecret(m[2])
		}
		if secret {
			line = value.ReplaceAllStringFunc(line, stars)
		}
		masked.WriteString(line)
	}
	return mask(proxies.ReplaceAllStringFunc(masked.String(), func(list string) string {
		return query.ReplaceAllStringFunc(user.ReplaceAllStringFunc(list, stars), stars)
	}))
}

// SoundsSecret reports whether the name of a header says that it carries secrets.
func SoundsSecret(name string) bool {
	words := []string{"token", "secret", "key", "auth", "cookie", "password", "session"}
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(strings.ToLower(name), word) })
}
