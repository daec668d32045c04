package policy

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// word is a private word or phrase of this project, and what a reader expects instead of it.
type word struct {
	pattern string // in lower case, of whole words; the parts of a camelCase name are words
	use     string
	except  string // matches "FILE: LINE" as it is written, where the word is the field's own
}

// words is the list: words that the field has others for, and phrases that readers had to read
// twice.
func words() []word {
	const dns = `dnsmessage|nameserver_test\.go|lab/path/names_test\.go`
	return []word{
		{`answer(s|ed|ing)?`, "response, respond", dns + `|answers? (one|a|the|this) question|docs/compatibility\.md: \| "`},
		{`mend(s|ed|ing)?`, "fix", ""},
		{`remed(y|ies)`, "fix", ""},
		{`anew`, "again", ""},
		{`by (itself|themselves)`, "on its own, automatically", ""},
		{`stand-?ins?`, "fake (code), mock API (text)", ""},
		{`gather(s|ed|ing|er)?`, "write coalescer", `Gather\(|GatherAndLint|\bGatherers?\b|internal/daemon/.*gather|gathering( and writing)? metrics`},
		{`serves? on( (and|as|if|meanwhile|until|while|with)|[.,;:]|$)`, "keep running", ""},
		{`farewells?`, "say what is sent last", ""},
		{`nonce (request|response|trial)s?`, "probe", ""},
		{`trials?`, "probe", ""},
		{`way of (a|an|each|every|its|the) requests?`, "request path", ""},
		{`requests?'s? way`, "request path", ""},
		{`walk(s|ed|ing)? the way`, "check each hop", ""},
		{`ends? that (is|are) none`, "say what happens", ""},
		{`whoever`, "name the person or program", ""},
		{`of ours`, "our", ""},
		{`(after|because|by|for|from|if|of|once|than|to|until|up|when) who (ask|sen[dt])s?`, "name the sender", ""},
		{`who asked (is|was|may|went|gave|has|had|left)`, "name the sender", ""},
		{`(is|are) no (answer|end|error|failure|gateway|probe|proof|reason|request|response|secret|silence|stream|success)s?`, "is not a …", `[Tt]here (is|are) no`},
		{`(was|were) not told`, "could not notify", ""},
		{`begins? so`, "not a valid … prefix", ""},
		{`there is no upgrade here`, "protocol upgrades are not supported", ""},
		{`in force`, "active", ""},
		{`somebody|those who`, "name the client, person or user", ""},
		{`br(eaks?|eaking|oke|oken) off`, "cut", ""},
		{`ways? out`, "the path to the upstream", `IN ANY WAY OUT`},
		{`exams?`, "test, check", ""},
		{`witness(es)?`, "say what proves it", ""},
		{`papers?`, "say which file or record", ""},
		{`free places?|places? (is|are|gets?|becomes?) free`, "slot", ""},
		{`(has|have|had|gets?|takes?|needs?|waits? for) (a|its|no) place`, "slot", `has no place (in|for)`},
	}
}

// TestTextsUsePlainWords: no text of the repository has a word of the list.
func TestTextsUsePlainWords(t *testing.T) {
	find := finder(words())
	for _, name := range texts(t) {
		text, err := os.ReadFile(filepath.Join(moduleRoot, name))
		if err != nil {
			t.Fatal(err)
		}
		report(t, find(name, string(text)))
	}
}

// TestPrivateWordsAreSeen tries the list on texts that break it, and on the field's own uses.
func TestPrivateWordsAreSeen(t *testing.T) {
	find := finder(words())
	for _, tt := range []struct{ name, file, text, want string }{
		{"a word", "a.md", "\nAn Answer.", "a.md:2: answer: use response, respond"},
		{"part of a name", "a.go", "func lastAnswer() {}", "a.go:1: answer: "},
		{"part of a word", "a.md", "recommended", ""},
		{"of DNS", "internal/upstream/nameserver_test.go", "answers atomic.Int32", ""},
		{"of Prometheus", "a.go", "families, err := registry.Gather()", ""},
		{"two lines", "a.go", "// the program serves\n// on until it ends", "a.go:1: serves on until: "},
		{"two lines of a script", "a", "# in the way of\n  # a request", "a:1: way of a request: "},
		{"the next line", "a.md", "\n\nanew", "a.md:3: anew: "},
		{"a place for itself", "a.go", "// Resized in place. It has no place in a trailer.", ""},
		{"a question", "a.md", "It says who sent a request.", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(find(tt.file, tt.text), "\n")
			if tt.want == "" && got != "" || !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// finder compiles the list. A phrase may go on in the next line.
func finder(list []word) func(name, text string) []string {
	patterns, exceptions := make([]*regexp.Regexp, len(list)), make([]*regexp.Regexp, len(list))
	all := make([]string, len(list)) // one search finds most lines without any
	for i, w := range list {
		patterns[i] = regexp.MustCompile(`\b(?:` + w.pattern + `)(?:\b|$)`)
		exceptions[i] = regexp.MustCompile(w.except)
		all[i] = patterns[i].String()
	}
	some := regexp.MustCompile(strings.Join(all, "|"))
	mark := regexp.MustCompile(`^[\s#/*|-]*(\.\\" )?`)
	return func(name, text string) []string {
		var findings []string
		lines := append(strings.Split(text, "\n"), "")
		for n, line := range lines[:len(lines)-1] {
			begin := plain(line)
			both := begin + " " + plain(mark.ReplaceAllString(lines[n+1], ""))
			if !some.MatchString(both) {
				continue
			}
			for i, w := range list {
				at := patterns[i].FindStringIndex(both)
				if at == nil || at[0] >= len(begin) || w.except != "" && exceptions[i].MatchString(name+": "+line) {
					continue
				}
				findings = append(findings, fmt.Sprintf("%s:%d: %s: use %s", name, n+1, both[at[0]:at[1]], w.use))
			}
		}
		return findings
	}
}

// plain makes words of a line's names, all in lower case.
func plain(line string) string {
	var b strings.Builder
	lower := false // the letter before was one
	for _, r := range line {
		if r == '_' {
			r = ' '
		}
		if lower && unicode.IsUpper(r) {
			b.WriteByte(' ')
		}
		lower = unicode.IsLower(r)
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// texts lists the files of the repository that people read, this one aside.
func texts(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(moduleRoot, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(moduleRoot, name)
		switch base := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && (base == ".git" || base == ".cache" || base == "node_modules" || relative == "bin" || relative == "dist"):
			return fs.SkipDir
		case entry.Type().IsRegular() && base != "go.sum" && base != "package-lock.json" && base != "words.txt" && base != "words_test.go":
			names = append(names, filepath.ToSlash(relative))
		}
		return nil
	})
	if err != nil || len(names) < 100 {
		t.Fatalf("%d texts, %v", len(names), err)
	}
	return names
}
