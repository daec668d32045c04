package policy

import (
	"fmt"
	"go/ast"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// checkPackageComments is the rule that each package has one manual.
func checkPackageComments(all []source) []string {
	commented := make(map[string][]string)
	for _, s := range all {
		if s.isTest() {
			continue
		}
		files := commented[s.dir()]
		if s.file.Doc.Text() != "" {
			files = append(files, s.path)
		}
		commented[s.dir()] = files
	}
	var findings []string
	for _, dir := range slices.Sorted(maps.Keys(commented)) {
		if files := commented[dir]; len(files) != 1 {
			findings = append(findings, fmt.Sprintf("%s: %d package comments, want 1: %s", dir, len(files), strings.Join(files, ", ")))
		}
	}
	return findings
}

// checkFileNames is the rule that a file of the package that a comment names is there.
func checkFileNames(s source) []string {
	name := regexp.MustCompile(`(?:^|[^\w./*-])(\w+\.go)\b`)
	var findings []string
	for _, group := range s.file.Comments {
		for _, comment := range group.List {
			for _, found := range name.FindAllStringSubmatch(comment.Text, -1) {
				if _, err := os.Stat(filepath.Join(moduleRoot, s.dir(), found[1])); err != nil {
					findings = append(findings, s.at(comment.Pos(), "there is no %s here", found[1]))
				}
			}
		}
	}
	return findings
}

// checkDocs is the rule that exported names are explained.
func checkDocs(s source) []string {
	if s.isTest() {
		return nil
	}
	var findings []string
	for _, decl := range s.file.Decls {
		var bare []*ast.Ident
		switch d := decl.(type) {
		case *ast.FuncDecl:
			bare = undocumentedFunc(d)
		case *ast.GenDecl:
			bare = undocumentedNames(d)
		}
		for _, name := range bare {
			findings = append(findings, s.at(name.Pos(), "exported %s has no doc comment", name.Name))
		}
	}
	return findings
}

// undocumentedFunc passes over the methods of unexported types: nobody reads
// about them from outside.
func undocumentedFunc(f *ast.FuncDecl) []*ast.Ident {
	if !f.Name.IsExported() || f.Doc.Text() != "" {
		return nil
	}
	if f.Recv != nil && !receiver(f.Recv.List[0].Type).IsExported() {
		return nil
	}
	return []*ast.Ident{f.Name}
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) *ast.Ident {
	switch t := e.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t
	}
	return ast.NewIdent("_")
}

// undocumentedNames accepts a comment above the group for constants and
// variables, and one behind the line.
func undocumentedNames(group *ast.GenDecl) []*ast.Ident {
	var bare []*ast.Ident
	for _, spec := range group.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			alone := !group.Lparen.IsValid()
			if s.Name.IsExported() && s.Doc.Text() == "" && (!alone || group.Doc.Text() == "") {
				bare = append(bare, s.Name)
			}
		case *ast.ValueSpec:
			if group.Doc.Text()+s.Doc.Text()+s.Comment.Text() == "" {
				bare = append(bare, slices.DeleteFunc(slices.Clone(s.Names), func(n *ast.Ident) bool { return !n.IsExported() })...)
			}
		}
	}
	return bare
}
