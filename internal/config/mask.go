package config

import (
	"regexp"
	"slices"
	"strings"
)

// Mask replaces what may be a credential by asterisks, byte for byte, so that positions stay right.
// It goes by the text alone, because lines that cannot be parsed are shown, too, and masks too much
// rather than too little.
func Mask(s string) string {
	for _, pattern := range []string{
		`(?i)sk-ant-(?:[a-z]{2,5}[0-9]{0,2}\b-?)?([^\s"]*)`, // an Anthropic token, except its kind
		`(?i)\b(?:bearer|basic)[ \t=:]+([^\s"]+)`,           // RFC 9110, section 11.4
		`(?i)(?:authorization|x-api-key)[ \t]*=(.*)`,        // a header written as an attribute
		`://([^"\n]*)@`,                                      // userinfo of a URL (RFC 3986, section 3.2.1),
		`[^\s":/@]+:([^\s"@]*)@`,                             // of one without a scheme,
		`upstream_(?:url|proxy)\b.*?[=:][ \t]*"?(.*)@`,       // and of whatever else is not a URL
		`upstream_(?:url|proxy)[ \t]*[=:][^?\n]*\?([^"\n]*)`, // a query
	} {
		s = maskGroup(s, pattern)
	}
	return s
}

// maskFile also masks all values in rules for headers that carry secrets, and user names and
// queries in lists of proxies.
func maskFile(src string) string {
	block := regexp.MustCompile(`(?m)^[ \t]*(?:proxy|tailscale|identity|access|header|metrics|log)\b`)
	starts := slices.DeleteFunc(block.FindAllStringIndex(src, -1), func(start []int) bool {
		return strings.HasPrefix(strings.TrimLeft(src[start[1]:], " \t"), "=") // an attribute: identity has a header
	})
	starts = append(starts, []int{len(src), len(src)})
	var masked strings.Builder
	masked.WriteString(src[:starts[0][0]])
	for i, start := range starts[:len(starts)-1] {
		part := src[start[0]:starts[i+1][0]]
		label, _, _ := strings.Cut(src[start[1]:starts[i+1][0]], "{")
		if strings.HasSuffix(src[:start[1]], "header") && soundsSecret(label) {
			part = maskGroup(part, `=(.*)`)
		}
		masked.WriteString(part)
	}
	proxies := regexp.MustCompile(`upstream_proxy\s*=\s*\[[^\]]*`)
	return Mask(proxies.ReplaceAllStringFunc(masked.String(), func(list string) string {
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

// soundsSecret reports whether the name of a header says that it carries secrets.
func soundsSecret(name string) bool {
	words := []string{"token", "secret", "key", "auth", "cookie", "password", "session"}
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(strings.ToLower(name), word) })
}
