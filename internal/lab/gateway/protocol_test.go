package gateway_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

const (
	recordFile   = "testdata/protocol.txt"
	documentFile = "../../../docs/compatibility.md"
)

// section is a heading of a Markdown text and what is below it, with single spaces.
type section struct{ title, text string }

// hash changes when a word of the section does. Line breaks do not count.
func (s section) hash() string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(s.text)))[:12]
}

// sections splits a Markdown text at its headings of the first and second level.
func sections(markdown string) []section {
	var all []section
	heading := regexp.MustCompile(`^##? (.+)`)
	for line := range strings.Lines(markdown) {
		if found := heading.FindStringSubmatch(line); found != nil {
			all = append(all, section{title: strings.TrimSpace(found[1])})
		} else if words := strings.Fields(line); len(all) > 0 && len(words) > 0 {
			last := &all[len(all)-1]
			last.text = strings.TrimSpace(last.text + " " + strings.Join(words, " "))
		}
	}
	return all
}

func titles(all []section) []string {
	var names []string
	for _, s := range all {
		names = append(names, s.title)
	}
	return names
}

// TestProtocol compares the contract that the gateway serves with the one that
// docs/compatibility.md was written for.
func TestProtocol(t *testing.T) {
	t.Parallel()
	resp, err := daemontest.Ask(newHTTPClient(t), http.MethodGet, startGateway(t, "http://127.0.0.1:9")+"/protocol", "")
	if err != nil {
		t.Fatal(err)
	}
	resp.Want(t, http.StatusOK)
	served := sections(resp.Body)
	t.Run("is the recorded one", func(t *testing.T) { compareRecord(t, served) })
	t.Run("has each section of the document", func(t *testing.T) { compareDocument(t, served) })
}

// compareRecord names the sections that are new, gone or different. The record has hashes only: the
// text is Anthropic's.
func compareRecord(t *testing.T, served []section) {
	var lines []string
	for _, s := range served {
		lines = append(lines, s.hash()+" "+s.title)
	}
	if os.Getenv("PROTOCOL_REWRITE") != "" {
		write(t, recordFile, strings.Join(lines, "\n")+"\n")
	}
	record, err := os.ReadFile(recordFile)
	if err != nil {
		t.Fatal(err)
	}
	recorded := strings.Split(strings.TrimSpace(string(record)), "\n")
	for _, line := range recorded {
		if !slices.Contains(lines, line) {
			t.Errorf("- %s", line)
		}
	}
	for i, line := range lines {
		if !slices.Contains(recorded, line) {
			t.Errorf("+ %s\n%s", line, served[i].text)
		}
	}
	if t.Failed() {
		t.Logf("this gateway serves another contract (-) than %s has (+ is served).\n"+
			"Read the sections above, bring docs/compatibility.md up to date,\n"+
			"then run: PROTOCOL_REWRITE=1 make test-gateway", recordFile)
	}
}

// compareDocument wants a section of the document for each of the contract, in the same order, and
// each "quoted phrase" of it in the contract's section.
func compareDocument(t *testing.T, served []section) {
	text, err := os.ReadFile(documentFile)
	if err != nil {
		t.Fatal(err)
	}
	document := slices.DeleteFunc(sections(string(text)), func(s section) bool {
		return !slices.Contains(titles(served), s.title)
	})
	if got, want := titles(document), titles(served); !slices.Equal(got, want) {
		t.Fatalf("the document has the sections\n%q, the contract has\n%q", got, want)
	}
	quoted := 0
	for i, s := range document {
		for _, found := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(s.text, -1) {
			quoted++
			if !strings.Contains(served[i].text, found[1]) {
				t.Errorf("%s: the contract does not say %q", s.title, found[1])
			}
		}
	}
	if quoted < 10 {
		t.Errorf("the document quotes %d phrases only", quoted)
	}
}

func TestSectionsAreSeen(t *testing.T) {
	t.Parallel()
	got := sections("before\n# A\none\n  two\n\n### deeper\n## B — optional\nthree\n")
	want := []section{{"A", "one two ### deeper"}, {"B — optional", "three"}}
	if !slices.Equal(got, want) {
		t.Errorf("sections %q, want %q", got, want)
	}
	if a, b := (section{"A", "one two"}), (section{"A", "one too"}); a.hash() == b.hash() || len(a.hash()) != 12 {
		t.Errorf("hashes %s and %s", a.hash(), b.hash())
	}
}
