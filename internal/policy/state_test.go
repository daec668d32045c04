package policy

import (
	"go/ast"
	"go/token"
	"path"
	"strings"
)

// checkVariables is the rule against package-level state.
func checkVariables(s source) []string {
	var findings []string
	for _, decl := range s.file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.VAR {
			continue
		}
		for _, spec := range group.Specs {
			v := spec.(*ast.ValueSpec)
			if !isAssertion(v) && !isErrorValue(v) && !isEmbedded(group, v) && !s.isVersion(v) {
				findings = append(findings, s.at(v.Pos(), "package-level variable %s: pass it in, or make it a constant or a function", v.Names[0].Name))
			}
		}
	}
	return findings
}

// isAssertion recognizes var _ Interface = T{}.
func isAssertion(v *ast.ValueSpec) bool {
	for _, name := range v.Names {
		if name.Name != "_" {
			return false
		}
	}
	return true
}

// isErrorValue recognizes var errX = errors.New("…").
func isErrorValue(v *ast.ValueSpec) bool {
	for _, value := range v.Values {
		call, ok := value.(*ast.CallExpr)
		if !ok || !isSelector(call.Fun, "errors", "New") && !isSelector(call.Fun, "fmt", "Errorf") {
			return false
		}
	}
	return len(v.Values) > 0
}

// isEmbedded recognizes a variable below a //go:embed line.
func isEmbedded(group *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{group.Doc, v.Doc} {
		if doc == nil {
			continue
		}
		for _, comment := range doc.List {
			if strings.HasPrefix(comment.Text, "//go:embed ") {
				return true
			}
		}
	}
	return false
}

// isVersion recognizes the one variable that the linker sets: version, in a
// command's main file.
func (s source) isVersion(v *ast.ValueSpec) bool {
	return s.isMain() && len(v.Names) == 1 && v.Names[0].Name == "version"
}

func (s source) isMain() bool {
	return s.file.Name.Name == "main" && path.Base(s.path) == "main.go"
}

// checkInit is the rule against func init.
func checkInit(s source) []string {
	var findings []string
	for _, f := range s.functions() {
		if f.Recv == nil && f.Name.Name == "init" {
			findings = append(findings, s.at(f.Pos(), "func init: do it where it is needed"))
		}
	}
	return findings
}

// checkExit is the rule that only main ends the process.
func checkExit(s source) []string {
	if s.isMain() {
		return nil
	}
	var findings []string
	for _, decl := range s.file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && s.isTest() && f.Name.Name == "TestMain" {
			continue
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			if use, ok := n.(*ast.SelectorExpr); ok && endsProcess(use) {
				findings = append(findings, s.at(use.Pos(), "%s outside of main.go: return an error", use.Sel.Name))
			}
			return true
		})
	}
	return findings
}

func endsProcess(use *ast.SelectorExpr) bool {
	return isSelector(use, "os", "Exit") || isSelector(use, "log", "Fatal") ||
		isSelector(use, "log", "Fatalf") || isSelector(use, "log", "Fatalln")
}

// isSelector recognizes pkg.name.
func isSelector(e ast.Expr, pkg, name string) bool {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != name {
		return false
	}
	x, ok := selector.X.(*ast.Ident)
	return ok && x.Name == pkg
}
