package policy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"regexp"
	"slices"
)

const (
	maxFunctionLines = 70
	maxFileLines     = 450
)

// checkSize is the rule about long functions and files.
func checkSize(s source) []string {
	var findings []string
	for _, f := range s.functions() {
		if lines := s.line(f.End()) - s.line(f.Pos()) + 1; lines > maxFunctionLines {
			findings = append(findings, s.at(f.Pos(), "func %s has %d lines, over %d", f.Name.Name, lines, maxFunctionLines))
		}
	}
	if lines := bytes.Count(s.text, []byte("\n")); lines > maxFileLines && !s.isTest() {
		findings = append(findings, fmt.Sprintf("%s: %d lines, over %d", s.path, lines, maxFileLines))
	}
	return findings
}

// checkFormat is the rule that gofmt has nothing to change.
func checkFormat(s source) []string {
	formatted, err := format.Source(s.text)
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", s.path, err)}
	}
	if !bytes.Equal(formatted, s.text) {
		return []string{s.path + ": not formatted by gofmt"}
	}
	return nil
}

// checkMarks is the rule that no comment puts work off.
func checkMarks(s source) []string {
	mark := regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)
	var findings []string
	for _, group := range s.file.Comments {
		for _, comment := range group.List {
			if found := mark.FindString(comment.Text); found != "" {
				findings = append(findings, s.at(comment.Pos(), "%s: do it, or open an issue", found))
			}
		}
	}
	return findings
}

// checkSkips is the rule that a test runs or does not exist.
func checkSkips(s source) []string {
	if !s.isTest() {
		return nil
	}
	var findings []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		if use, ok := n.(*ast.SelectorExpr); ok && skips(use) {
			findings = append(findings, s.at(use.Pos(), "%s: a test is never skipped", use.Sel.Name))
		}
		return true
	})
	return findings
}

func skips(use *ast.SelectorExpr) bool {
	x, ok := use.X.(*ast.Ident)
	return ok && slices.Contains([]string{"t", "b", "f", "tb"}, x.Name) &&
		slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, use.Sel.Name)
}
