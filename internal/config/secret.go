package config

import (
	"regexp"
	"slices"
	"strings"

	"oauth-proxyd/internal/term"
)

// The daemon keeps no credential, and shows none that a client sends or an operator writes. A
// value, the name of a header, or a pattern in a longer text tells what may be one:
//
//	told by                     where                                     then
//	LooksSecret(value)          value and conditions of a header rule     refused
//	                            a person's name, a session's ID           ignored
//	checkName(header)           a header rule, identity.header            refused
//	carriesSecret(header)       identity.header                           refused
//	SoundsSecret(header)        value of a rule, in a Diff and a snippet  not shown
//	                            value of a header in the self test        not shown
//	maskFile(file), mask(text)  snippets; the words of errors             asterisks
//	term.Mask(text)             what others send: paths, errors           asterisks

// LooksSecret reports whether a value looks like a credential.
func LooksSecret(value string) bool {
	lower := strings.ToLower(strings.TrimSpace(value))
	scheme, _, _ := strings.Cut(lower, " ")
	return strings.Contains(lower, "sk-ant-") || scheme == "bearer" || scheme == "basic"
}

// SoundsSecret reports whether the name of a header says that it may carry secrets.
func SoundsSecret(name string) bool {
	return carriesSecret(name) || containsAny(name, "key", "auth", "cookie")
}

// carriesSecret reports whether the name of a header says that it does carry a secret. It accepts
// names in which gateways send a person, such as X-Auth-Request-Email.
func carriesSecret(name string) bool {
	return containsAny(name, "token", "secret", "password", "session", "-key")
}

func containsAny(name string, words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(strings.ToLower(name), word) })
}

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
