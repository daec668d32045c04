package bundle

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestWordsAreTheProgramsOwn holds words.txt and the texts of the program together. A few words
// may differ: a missing one is only replaced in the archive.
func TestWordsAreTheProgramsOwn(t *testing.T) {
	own := wordsOf(t, "../../cmd", "..")
	if os.Getenv("POLICY_REWRITE") != "" {
		list := strings.Join(slices.Sorted(maps.Keys(own)), "\n") + "\n"
		if err := os.WriteFile("words.txt", []byte(list), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	missing, foreign, listed := 0, 0, make(map[string]bool)
	for word := range strings.FieldsSeq(programWords) {
		listed[word] = true
		if !own[word] {
			foreign++
		}
	}
	for word := range own {
		if !listed[word] {
			missing++
		}
	}
	if most := len(own) / 10; missing > most || foreign > most {
		t.Errorf("%d words of the program are missing, %d are no longer its own; run POLICY_REWRITE=1 go test ./internal/bundle", missing, foreign)
	}
	for _, name := range []string{"alice", "ann", "bob", "carol", "example.com", "localhost.localdomain"} {
		if listed[name] {
			t.Errorf("%q is in the list", name)
		}
	}
}

// wordsOf returns the words of all sentences and names in string literals.
func wordsOf(t *testing.T, dirs ...string) map[string]bool {
	t.Helper()
	words, split := make(map[string]bool), NewFilter().token
	plain := regexp.MustCompile(`^/?[a-z]+(?:[._/-][a-z]+)*$`)
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if d.IsDir() && slices.Contains([]string{"lab", "bundle", "testdata", "fakeupstream", "faketailscaled", "daemontest", "policy"}, d.Name()) {
				return fs.SkipDir
			}
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if _, isImport := n.(*ast.ImportSpec); isImport {
					return false
				}
				if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
					addWords(words, split, plain, text.Value)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return words
}

func addWords(words map[string]bool, token, plain *regexp.Regexp, literal string) {
	text, err := strconv.Unquote(literal)
	if err != nil {
		return
	}
	for _, w := range token.FindAllString(strings.ToLower(text), -1) {
		if w = strings.Trim(w, ".:!?*+-…"); plain.MatchString(w) && !strings.Contains(w, "example") && !strings.HasSuffix(w, ".com") {
			words[w] = true
		}
	}
}
