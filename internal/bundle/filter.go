package bundle

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Filter replaces everything that it does not know to be harmless.
type Filter struct {
	words   map[string]bool           // of this program, in lower case
	aliases map[string]string         // the placeholders, by text in lower case
	forms   map[string]*regexp.Regexp // by field: what is shown although it has no words

	token     *regexp.Regexp // a word with the punctuation around it
	number    *regexp.Regexp // with a unit, of a version, a date or a time
	port      *regexp.Regexp // host and port
	version   *regexp.Regexp // with a suffix
	attribute *regexp.Regexp // in a message of the log
	frame     *regexp.Regexp // a line of a goroutine's stack, without arguments and directories
}

// NewFilter returns a Filter without placeholders.
func NewFilter() *Filter {
	const unit = `(?:ns|us|µs|ms|s|min|m|h|d|w|[kKMGT]?i?B|%)`
	setting := regexp.MustCompile(`^(?:proxy|tailscale|identity|access|metrics|log)(?:\.[a-z_]+)+$`)
	return &Filter{
		words: ownWords(), aliases: map[string]string{},
		forms: map[string]*regexp.Regexp{
			"version": regexp.MustCompile(`^(?:devel|v?\d+(?:\.\d+){1,2}(?:[-+][0-9A-Za-z.+-]{1,40})?)$`),
			"path":    setting, "changed": setting,
			"stack": regexp.MustCompile(``), // see frame
		},
		token: regexp.MustCompile("[^\\s\"'`()\\[\\]{}<>,;=|]+"),
		number: regexp.MustCompile(`^(?:[+-]?\d{1,7}(?:\.\d{1,6})?` + unit + `?|(?:\d{1,7}(?:\.\d{1,9})?` + unit + `){1,4}|` +
			`\d{1,3}/[A-Z]{2,6}|(?:v|go)?\d{1,4}(?:\.\d{1,5}){1,3}|` +
			`\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d))?|\d\d:\d\d(?::\d\d)?)$`),
		port:      regexp.MustCompile(`^(.+)(:\d{1,5})$`),
		version:   regexp.MustCompile(`^(v?\d{1,4}(?:\.\d{1,5})+)[-+~_].+$`),
		attribute: regexp.MustCompile(` ([a-z][a-z_.]*)=`),
		frame: regexp.MustCompile(`^(goroutine \d+) \[|` +
			`^((?:created by )?(?:main|runtime|net|net/http|sync|os|time|syscall|internal/poll|` +
			`(?:oauth-proxyd/internal|golang\.org/x|tailscale\.com|github\.com/(?:coreos|hashicorp|prometheus))(?:/[\w-]+)+)` +
			`(?:\.\(\*?\w+\))?(?:\.\w+)+)|` +
			`^\t(?:\S*/)?([a-z_]+\.go:\d+)`),
	}
}

// nameFields returns the fields with names, addresses, and IDs that clients can choose. A name may
// be one of the words.
func nameFields() []string {
	return []string{
		"node", "user", "tags", "person", "address", "addresses", "name", "asked_by",
		"request_id", "upstream_request_id", "session", "trace_id",
	}
}

// value filters what JSON decodes to.
func (f *Filter) value(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		filtered := make(map[string]any, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) { // the order of the file, so that placeholders ascend
			filtered[f.Text(name)] = f.value(name, v[name])
		}
		return filtered
	case []any:
		for i := range v {
			v[i] = f.value(key, v[i])
		}
	case string:
		return f.field(key, v)
	}
	return v
}

// field filters a text by what the field is.
func (f *Filter) field(key, s string) string {
	if form := f.forms[key]; s == "" || form != nil && form.MatchString(s) {
		return s
	}
	if !slices.Contains(nameFields(), key) {
		return f.Text(s)
	}
	if shown, isAddress := f.address(s); isAddress {
		return shown
	}
	return f.alias("name", s)
}

// Text filters a text word by word.
func (f *Filter) Text(s string) string { return f.token.ReplaceAllStringFunc(s, f.word) }

// word filters a word, with the punctuation around it.
func (f *Filter) word(w string) string {
	if shown, ok := f.address(w); ok { // "::" is one
		return shown
	}
	core := strings.Trim(w, ".:!?*+-→…—·&$")
	head, tail, _ := strings.Cut(w, core)
	shown, isAddress := f.address(strings.TrimSuffix(w, tail))
	scheme, rest, isURL := strings.Cut(core, "://")
	port, version := f.port.FindStringSubmatch(core), f.version.FindStringSubmatch(core)
	switch {
	case isAddress:
		return shown + tail
	case strings.Trim(core, "/") == "", f.words[strings.ToLower(core)], f.number.MatchString(core):
		return w
	case isURL && slices.Contains([]string{"http", "https", "unix"}, scheme):
		return head + scheme + "://" + f.word(rest) + tail
	case port != nil:
		return head + f.word(port[1]) + port[2] + tail
	case version != nil:
		return head + version[1] + "-…" + tail
	}
	return head + f.alias("text", core) + tail
}

// address filters an address with or without a port, and a range; ok: s is one. Loopback, all
// addresses and ranges name nobody.
func (f *Filter) address(s string) (shown string, ok bool) {
	host := s
	if parts := f.port.FindStringSubmatch(s); parts != nil && strings.Count(s, ":") == 1 || strings.HasPrefix(s, "[") && parts != nil {
		host = strings.Trim(parts[1], "[]")
	}
	if prefix, err := netip.ParsePrefix(s); err == nil {
		host = prefix.Addr().String()
		if !prefix.IsSingleIP() && prefix == prefix.Masked() {
			return s, true
		}
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil || addr.Zone() != "":
		return s, false
	case addr.IsLoopback() || addr.IsUnspecified():
		return s, true
	}
	return strings.Replace(s, host, f.alias("address", host), 1), true
}

// alias returns the placeholder of a text, always the same.
func (f *Filter) alias(kind, text string) string {
	text = strings.ToLower(text)
	if f.aliases[text] == "" {
		f.aliases[text] = fmt.Sprintf("%s-%d", kind, len(f.aliases)+1)
	}
	return f.aliases[text]
}
