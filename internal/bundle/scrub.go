package bundle

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"oauth-proxyd/internal/config"
)

// Scrubber makes texts fit to be shown to strangers. It removes too much rather than too little.
type Scrubber struct {
	withholds bool
	known     map[string]bool   // names in lower case
	aliases   map[string]string // by names and addresses in lower case
	secrets   []*regexp.Regexp  // the first group stays
	setting   *regexp.Regexp
	fields    *regexp.Regexp   // names in the log and in traces
	named     []*regexp.Regexp // the first group stays
	address   *regexp.Regexp
	word      *regexp.Regexp
}

// NewScrubber returns a Scrubber for credentials and, if it withholds names, for what has the form
// of a name or an address and for these names: of hosts, nodes and people.
func NewScrubber(withhold bool, names []string) *Scrubber {
	s := &Scrubber{
		withholds: withhold, known: map[string]bool{}, aliases: map[string]string{},
		secrets: compile(
			`()tskey-[\w-]+`,                                   // Tailscale's keys
			`()\beyJ[\w-]{8,}\.[\w-]*(?:\.[\w-]*)?`,            // RFC 7519
			`()\b(?:gh[a-z]_|glpat-|xox[a-z]-|sk-)\w{8}[\w-]*`, // of other services
			`()(?s)-----BEGIN [A-Z ]*PRIVATE KEY.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`,
			`(?i)(https?://[^\s"/]+/(?:a|register)/)[^\s"]+`, // who opens it, claims this node
			`(?i)((?:-u|--user|--proxy-user)[ =])\S+`,        // of curl
			`(https?://[^\s"?#]*[?#])[^\s"]+`,
			`(?i)((?:cookie|authorization|x-api-key)\\?["']?[ \t]*[:=])[^\n]+`,
			`(?i)([\w-]*(?:token|secret|passw|api[_-]?key)[\w-]*\\?["']?[ \t]*[:=][ \t]*\\?")(?:[^"\\\n]|\\.)+`,
			`(?i)([\w-]*(?:token|secret|passw|api[_-]?key)[\w-]*\\?["']?[ \t]*[:=][ \t]*)[^\s,}"\\]+`,
		),
		setting: regexp.MustCompile(`(?m)^([ \t]*(?:Environment|SetCredential\w*)=[^=:\n]*[=:]?)(?:[^\n]*\\\n)*[^\n]*`),
		fields:  regexp.MustCompile(`\b(?:node|user|person)"?(?:=|: )"?([^"\s]+)`),
		named: compile(
			`(\b(?:node|user|tags|person)=")([^"\n]+)`, // fields of the log
			`(\b(?:node|user|tags|person)=)([^"\s]+)`,
			`("(?:node|user|person)": ")([^"\n]+)`, // and of a trace
			`(\b(?:tag|node):)([\w.-]+)`,
			`()([^\s"'<>()\[\],;=:/\\]+@[^\s"'<>()\[\],;=:/\\]+)`,
			`()(?i)\b((?:[a-z0-9-]+\.)+ts\.net)\b`,
		),
		address: regexp.MustCompile(`\b\d{1,3}(?:\.\d{1,3}){3}(?:/\d+)?\b|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:/\d+)?`),
		word:    regexp.MustCompile(`[\pL\pN][\pL\pN._-]*`),
	}
	for _, name := range names {
		s.learn(strings.ToLower(strings.TrimSuffix(name, ".")))
	}
	return s
}

func compile(patterns ...string) []*regexp.Regexp {
	var all []*regexp.Regexp
	for _, p := range patterns {
		all = append(all, regexp.MustCompile(p))
	}
	return all
}

// learn adds a name, the login's part before the @, and the first label of a host's name.
func (s *Scrubber) learn(name string) {
	login, _, _ := strings.Cut(name, "@")
	label, _, _ := strings.Cut(login, ".")
	for _, part := range []string{name, login, label} {
		if part != "" && part != "localhost" {
			s.known[part] = true
		}
	}
}

// Learn adds the names in the fields of the log and of traces: those of nodes that are gone, too.
func (s *Scrubber) Learn(text string) {
	for _, field := range s.fields.FindAllStringSubmatch(text, -1) {
		if _, err := netip.ParseAddr(field[1]); err != nil {
			s.learn(strings.ToLower(strings.TrimSuffix(field[1], ".")))
		}
	}
}

// Scrub returns the text without what must not be shown.
func (s *Scrubber) Scrub(text string) string {
	text = s.setting.ReplaceAllStringFunc(text, s.scrubSetting)
	for _, secret := range s.secrets {
		text = secret.ReplaceAllString(text, "${1}[removed]")
	}
	text = config.Mask(text)
	if !s.withholds {
		return text
	}
	for _, named := range s.named {
		text = named.ReplaceAllStringFunc(text, func(found string) string {
			parts := named.FindStringSubmatch(found)
			return parts[1] + s.alias("name", parts[2])
		})
	}
	text = s.address.ReplaceAllStringFunc(text, s.scrubAddress)
	return s.word.ReplaceAllStringFunc(text, func(word string) string {
		trimmed := strings.TrimRight(word, "._-")
		if s.known[strings.ToLower(trimmed)] {
			return s.alias("name", trimmed) + word[len(trimmed):]
		}
		return word
	})
}

// scrubSetting removes the values of a line of a unit that may hold any secret (systemd.exec(5)),
// except of variables that are known not to.
func (s *Scrubber) scrubSetting(line string) string {
	if regexp.MustCompile(`^[ \t]*Environment=(?:GOGC|GOMEMLIMIT|OAUTH_PROXYD_\w+)=\S*$`).MatchString(line) {
		return line
	}
	return s.setting.FindStringSubmatch(line)[1] + "[removed]"
}

// scrubAddress keeps what names nobody: loopback, every address, and ranges.
func (s *Scrubber) scrubAddress(text string) string {
	host, bits, isRange := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.IsLoopback() || addr.IsUnspecified() {
		return text
	}
	if prefix, err := addr.Prefix(atMost(bits, addr.BitLen())); isRange && err == nil && prefix.Addr() == addr && !prefix.IsSingleIP() {
		return text
	}
	return s.alias("address", host)
}

// atMost reads the length of a prefix.
func atMost(bits string, most int) int {
	n := most
	_, _ = fmt.Sscan(bits, &n) // not a number: a single address
	return min(n, most)
}

// alias is the word for a name, always the same.
func (s *Scrubber) alias(kind, name string) string {
	name = strings.ToLower(name)
	if s.aliases[name] == "" {
		s.aliases[name] = fmt.Sprintf("%s-%d", kind, len(s.aliases)+1)
	}
	return s.aliases[name]
}
