package bundle

import (
	_ "embed"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Filter replaces everything that it does not know to be harmless. What a field is decides first:
//
//	version, path, changed  shown if the text has the form of a version, or of a setting's path
//	stack                   shown: parsing it has left only functions and lines
//	node, person, …         loopback and ranges shown, else address-1 or name-1, whatever the words
//	any other field         word by word
//
// Then a word, without the punctuation around it:
//
//	127.0.0.1, ::, 10.0.0.0/8   shown: loopback, all addresses and ranges name nobody
//	10.1.2.3                    address-1
//	a word of the program       shown: ownWords
//	a number, date or time      shown, with its unit
//	https://REST, HOST:443      REST and HOST filtered as words
//	1.104.2-suffix              1.104.2-…
//	anything else               text-1
//
// A text has the same placeholder everywhere.
type Filter struct {
	fields  map[string]func(string) string // by name; the others are filtered word by word
	words   map[string]bool                // of this program, in lower case
	aliases map[string]string              // the placeholders, by text in lower case

	token   *regexp.Regexp // a word with the punctuation around it
	number  *regexp.Regexp // with a unit, of a version, a date or a time
	port    *regexp.Regexp // host and port
	version *regexp.Regexp // with a suffix
}

// NewFilter returns a Filter without placeholders.
func NewFilter() *Filter {
	const unit = `(?:ns|us|µs|ms|s|min|m|h|d|w|[kKMGT]?i?B|%)`
	f := &Filter{
		words: ownWords(), aliases: map[string]string{},
		token: regexp.MustCompile("[^\\s\"'`()\\[\\]{}<>,;=|]+"),
		number: regexp.MustCompile(`^(?:[+-]?\d{1,7}(?:\.\d{1,6})?` + unit + `?|(?:\d{1,7}(?:\.\d{1,9})?` + unit + `){1,4}|` +
			`\d{1,3}/[A-Z]{2,6}|(?:v|go)?\d{1,4}(?:\.\d{1,5}){1,3}|` +
			`\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d))?|\d\d:\d\d(?::\d\d)?)$`),
		port:    regexp.MustCompile(`^(.+)(:\d{1,5})$`),
		version: regexp.MustCompile(`^(v?\d{1,4}(?:\.\d{1,5})+)[-+~_].+$`),
	}
	setting := f.shownIf(`^(?:proxy|tailscale|identity|access|metrics|log)(?:\.[a-z_]+)+$`)
	f.fields = map[string]func(string) string{
		"version": f.shownIf(`^(?:devel|v?\d+(?:\.\d+){1,2}(?:[-+][0-9A-Za-z.+-]{1,40})?)$`),
		"path":    setting, "changed": setting,
		"stack": func(s string) string { return s },
	}
	// Names, addresses, and IDs that clients can choose. A name may be one of the words.
	for _, field := range []string{
		"node", "user", "tags", "person", "address", "addresses", "name", "asked_by",
		"request_id", "upstream_request_id", "session", "trace_id",
	} {
		f.fields[field] = f.name
	}
	return f
}

// shownIf returns a filter that shows a text of that form, and filters others word by word.
func (f *Filter) shownIf(form string) func(string) string {
	pattern := regexp.MustCompile(form)
	return func(s string) string {
		if pattern.MatchString(s) {
			return s
		}
		return f.Text(s)
	}
}

// name filters a text that is a name or an address as a whole.
func (f *Filter) name(s string) string {
	if shown, isAddress := f.address(s); isAddress || s == "" {
		return shown
	}
	return f.alias("name", s)
}

// value filters what JSON decodes to. The elements of a list are filtered as its field is.
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
		if filter, known := f.fields[key]; known {
			return filter(v)
		}
		return f.Text(v)
	}
	return v
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

// address filters an address with or without a port, and a range; ok: s is one.
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

// programWords are the words of all texts of this program, one a line. TestWordsAreTheProgramsOwn
// makes the list.
//
//go:embed words.txt
var programWords string

// hostWords are those of systemd, the kernel, the Go libraries and the names of distributions. The
// list is written by hand.
//
//go:embed hostwords.txt
var hostWords string

func ownWords() map[string]bool {
	words := make(map[string]bool)
	for _, word := range append(strings.Fields(programWords), strings.Fields(hostWords)...) {
		words[word] = true
	}
	return words
}
