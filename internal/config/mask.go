package config

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// masker replaces by asterisks what may be a credential, and keeps the
// length, so that positions stay right. It goes by the text alone, because
// lines that could not be parsed are shown as well, and it rather masks too
// much.
type masker struct {
	messages []*regexp.Regexp // the first group of each is masked, in messages and in lines
	lines    []*regexp.Regexp // the same, in lines alone
	blocks   []block          // in the order of the file
	proxies  [][]int          // from where to where lists of proxies go
	proxy    []*regexp.Regexp // the same as lines, for the lines of such a list
	end      int              // of the line that was masked last: many faults may be on it
	masked   string
}

// block is where a block of the file seems to begin.
type block struct {
	start  int
	secret bool // a rule for a header that carries secrets
}

func newMasker(src []byte) *masker {
	m := &masker{
		messages: compile(
			`(?i)sk-ant-(?:[a-z]{2,5}[0-9]{0,2}\b-?)?([^\s"]*)`, // an Anthropic token, but for its kind
			`(?i)\b(?:bearer|basic)[\s=:]+([^\s"]+)`,            // RFC 9110, section 11.4
			`://([^"]*)@`,                                       // RFC 3986, section 3.2.1
		),
		lines: compile(
			`[^\s":/@]+:([^\s"@]*)@`,                    // userinfo of a URL without a scheme
			`upstream_(?:url|proxy)\b.*?[=:]\s*"?(.*)@`, // userinfo of whatever else is no URL
			`upstream_(?:url|proxy)\b[^?]*\?([^"]*)`,    // keys in a query
			`(?i)(?:authorization|x-api-key)\s*=(.*)`,   // a header written as an attribute
		),
	}
	m.proxy = compile(`"([^"]*)@`) // userinfo, also of what is no URL
	m.proxies = regexp.MustCompile(`upstream_proxy\s*=\s*\[[^\]]*`).FindAllIndex(src, -1)
	begin := regexp.MustCompile(`(?m)^[ \t]*(proxy|tailscale|access|header|metrics|log)\b([^{\n]*)`)
	for _, at := range begin.FindAllSubmatchIndex(src, -1) {
		secret := string(src[at[2]:at[3]]) == "header" && soundsSecret(string(src[at[4]:at[5]]))
		m.blocks = append(m.blocks, block{start: at[0], secret: secret})
	}
	return m
}

func compile(patterns ...string) []*regexp.Regexp {
	compiled := make([]*regexp.Regexp, len(patterns))
	for i, pattern := range patterns {
		compiled[i] = regexp.MustCompile(pattern)
	}
	return compiled
}

// message masks a message of ours, which quotes words of the file.
func (m *masker) message(s string) string { return maskAll(s, m.messages) }

// line masks a line of the file, which ends at the byte offset end. In a rule
// for a header that carries secrets, every value is masked.
func (m *masker) line(line string, end int) string {
	if end == m.end && len(line) == len(m.masked) {
		return m.masked
	}
	m.end, m.masked = end, m.maskLine(line, end)
	return m.masked
}

func (m *masker) maskLine(line string, end int) string {
	after, _ := slices.BinarySearchFunc(m.blocks, end, func(b block, end int) int { return cmp.Compare(b.start, end) })
	if after > 0 && m.blocks[after-1].secret {
		line = maskValue(line)
	}
	inList := func(at []int) bool { return at[0] < end && end-len(line) < at[1] }
	if slices.ContainsFunc(m.proxies, inList) {
		line = maskAll(line, m.proxy)
	}
	return maskAll(maskAll(line, m.messages), m.lines)
}

func maskAll(s string, patterns []*regexp.Regexp) string {
	masked := []byte(s)
	for _, pattern := range patterns {
		for _, found := range pattern.FindAllStringSubmatchIndex(s, -1) {
			if found[2] >= 0 {
				copy(masked[found[2]:found[3]], strings.Repeat("*", found[3]-found[2]))
			}
		}
	}
	return string(masked)
}

// maskValue masks all that follows the first equals sign.
func maskValue(line string) string {
	name, value, found := strings.Cut(line, "=")
	if !found {
		return line
	}
	return name + "=" + strings.Repeat("*", len(value))
}

// looksSecret says whether a header's value looks like a credential.
func looksSecret(value string) bool {
	lower := strings.ToLower(strings.TrimSpace(value))
	scheme, _, _ := strings.Cut(lower, " ")
	return strings.Contains(lower, "sk-ant-") || slices.Contains([]string{"bearer", "basic"}, scheme)
}

// soundsSecret says whether a header is one that carries secrets.
func soundsSecret(name string) bool {
	lower := strings.ToLower(name)
	return slices.ContainsFunc([]string{"token", "secret", "key", "auth", "cookie", "password", "session"}, func(word string) bool {
		return strings.Contains(lower, word)
	})
}
