package policy

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxColumns  = 100 // of a comment; a tab counts as 4
	maxTestName = 45
)

func TestCommentsNameExistingFiles(t *testing.T) { hold(t, checkFileNames) }

func TestCommentsFitTheWidth(t *testing.T) { hold(t, checkWidth) }

func TestTestNamesAreShort(t *testing.T) { hold(t, checkTestNames) }

func TestCommentsLinkToExistingNames(t *testing.T) { report(t, checkLinks(loadModule(t))) }

// TestRulesFindWhatTheyForbid tries each rule on code that breaks it.
func TestRulesFindWhatTheyForbid(t *testing.T) {
	long := "// " + strings.Repeat("é", maxColumns)
	links := func(s source) []string { return checkLinks([]source{s}) }
	const names = "type Thing struct{ Field int }\n\nfunc (*Thing) Method() {}\n\n"
	for _, tt := range []struct {
		name, text string
		check      func(source) []string
		want       string
	}{
		{"a file", "// Package policy begins in doc.go.\npackage policy", checkFileNames, ""},
		{"a lost file", "package policy\nfunc f() {} // see gone.go", checkFileNames, "2: there is no gone.go here"},
		{"another package's file", "package policy\n\n// See internal/gone/gone.go.", checkFileNames, ""},
		{"wide", "package policy\n\n" + long, checkWidth, "3: a comment of 103 columns"},
		{"a wide link", "package policy\n\n// https://" + strings.Repeat("x", maxColumns), checkWidth, ""},
		{"a long test", "package policy\nfunc Test" + strings.Repeat("X", maxTestName) + "() {}", checkTestNames, "2: "},
		{"a link", "package policy\n\n// [Thing.Field], [*Thing.Method], [Thing], [os.ErrExist].\n" + names, links, ""},
		{"a lost link", "package policy\n\n// [Gone].\n" + names, links, "3: there is no [Gone] here"},
		{"a lost method", "package policy\n\n// [Thing.Gone].\n" + names, links, "3: there is no [Thing.Gone] here"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parse("internal/policy/x_test.go", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(tt.check(s), "\n")
			if tt.want == "" && got != "" || !strings.HasPrefix(strings.TrimPrefix(got, s.path+":"), tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// hold applies a rule to each file of the module.
func hold(t *testing.T, check func(source) []string) {
	t.Helper()
	for _, s := range loadModule(t) {
		report(t, check(s))
	}
}

func report(t *testing.T, findings []string) {
	t.Helper()
	for _, finding := range findings {
		t.Error(finding)
	}
}

func checkFileNames(s source) []string {
	name := regexp.MustCompile(`(?:^|[^\w./*-])(\w+\.go)\b`)
	var findings []string
	for _, comment := range s.comments() {
		for _, found := range name.FindAllStringSubmatch(comment.Text, -1) {
			if _, err := os.Stat(filepath.Join(moduleRoot, s.dir(), found[1])); err != nil {
				findings = append(findings, s.at(comment.Pos(), "there is no %s here", found[1]))
			}
		}
	}
	return findings
}

// checkWidth passes over examples, which are indented, and addresses, which cannot be wrapped.
func checkWidth(s source) []string {
	var findings []string
	for i, line := range strings.Split(string(s.text), "\n") {
		text, isComment := strings.CutPrefix(strings.TrimLeft(line, "\t"), "// ")
		columns := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    "))
		if isComment && columns > maxColumns && !strings.HasPrefix(text, " ") && !strings.Contains(text, "://") {
			findings = append(findings, fmt.Sprintf("%s:%d: a comment of %d columns, over %d", s.path, i+1, columns, maxColumns))
		}
	}
	return findings
}

func checkTestNames(s source) []string {
	var findings []string
	for _, f := range s.functions() {
		if name := f.Name.Name; s.isTest() && strings.HasPrefix(name, "Test") && len(name) > maxTestName {
			findings = append(findings, s.at(f.Pos(), "%s has %d letters, over %d", name, len(name), maxTestName))
		}
	}
	return findings
}

// checkLinks finds names in brackets, which go doc makes links of, that their package does not
// have.
func checkLinks(all []source) []string {
	declared := make(map[string]map[string]bool)
	for _, s := range all {
		if declared[s.dir()] == nil {
			declared[s.dir()] = make(map[string]bool)
		}
		s.declare(declared[s.dir()])
	}
	link := regexp.MustCompile(`\[\*?([A-Z]\w*[a-z]\w*)(?:\.([A-Z]\w*))?\]`)
	var findings []string
	for _, s := range all {
		for _, comment := range s.comments() {
			for _, found := range link.FindAllStringSubmatch(comment.Text, -1) {
				if name := strings.Trim(found[1]+"."+found[2], "."); !declared[s.dir()][name] {
					findings = append(findings, s.at(comment.Pos(), "there is no [%s] here", name))
				}
			}
		}
	}
	return findings
}

// declare adds the names that a link can lead to: Name and Type.Member.
func (s source) declare(names map[string]bool) {
	for _, f := range s.functions() {
		names[strings.TrimPrefix(receiver(f)+"."+f.Name.Name, ".")] = true
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for _, name := range n.Names {
				names[name.Name] = true
			}
		case *ast.TypeSpec:
			names[n.Name.Name] = true
			if structure, ok := n.Type.(*ast.StructType); ok {
				for _, field := range structure.Fields.List {
					for _, name := range field.Names {
						names[n.Name.Name+"."+name.Name] = true
					}
				}
			}
		}
		return true
	})
}

// receiver is the name of a method's type, or "" for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	name := ""
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if ident, ok := n.(*ast.Ident); ok && name == "" {
			name = ident.Name
		}
		return true
	})
	return name
}
