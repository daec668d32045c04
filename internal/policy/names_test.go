package policy

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestCommentsNameExistingFiles(t *testing.T) { hold(t, checkFileNames) }

func TestCommentsLinkToExistingNames(t *testing.T) { report(t, checkLinks(loadModule(t))) }

// TestRulesFindWhatTheyForbid tries each rule on code that breaks it.
func TestRulesFindWhatTheyForbid(t *testing.T) {
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
