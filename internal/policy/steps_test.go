package policy

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// steps are what becomes of a request, in order; each has the file of its name.
func steps() []string { return []string{"admit", "rewrite", "send", "stream", "record"} }

// TestARequestGoesDownwards: each step of a request is in one file, and none begins another. Only
// who carries the request through them does.
func TestARequestGoesDownwards(t *testing.T) {
	found := map[string]bool{}
	for _, s := range loadModule(t) {
		if s.dir() != "internal/proxy" || s.isTest() {
			continue
		}
		for _, f := range s.functions() {
			if isStep(f) {
				found[f.Name.Name] = true
				if s.path != "internal/proxy/"+f.Name.Name+".go" {
					t.Error(s.at(f.Pos(), "the step %s is elsewhere", f.Name.Name))
				}
			}
		}
		if s.path != "internal/proxy/proxy.go" {
			report(t, callsOfSteps(s))
		}
	}
	if len(found) != len(steps()) {
		t.Errorf("of the steps %q there are %v", steps(), found)
	}
}

// isStep: a method of a request under way, or of the proxy that writes it down.
func isStep(f *ast.FuncDecl) bool {
	return slices.Contains(steps(), f.Name.Name) &&
		slices.Contains([]string{"exchange", "Proxy"}, receiver(f))
}

// callsOfSteps lists the calls of a step on a request under way.
func callsOfSteps(s source) []string {
	var findings []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if name := dotted(call.Fun); slices.Contains(steps(), strings.TrimPrefix(name, "x.")) || name == "x.proxy.record" {
			findings = append(findings, s.at(call.Pos(), "%s begins another step", name))
		}
		return true
	})
	return findings
}

// TestOnlyTheLoopKnowsTheState: what the daemon begins beside its loop neither writes the state nor
// speaks to systemd.
func TestOnlyTheLoopKnowsTheState(t *testing.T) {
	beside := 0
	for _, s := range loadModule(t) {
		if s.dir() != "internal/daemon" || s.isTest() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			work, ok := n.(*ast.FuncLit)
			if !ok {
				return true
			}
			beside++
			report(t, loopsOwn(s, work))
			return true
		})
	}
	if beside < 20 {
		t.Errorf("%d functions that may run beside the loop were seen", beside)
	}
}

// loopsOwn lists what in a function is the loop's own.
func loopsOwn(s source, work *ast.FuncLit) []string {
	var findings []string
	ast.Inspect(work, func(n ast.Node) bool {
		e, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if name := dotted(e); slices.Contains([]string{"d.publish", "d.notifier", "d.pending", "d.watchdog", "d.step", "d.do", "d.notify"}, name) {
			findings = append(findings, s.at(e.Pos(), "%s is for the loop alone", name))
		}
		return true
	})
	return findings
}

// dotted is an expression such as x.proxy.record, or "" for another.
func dotted(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		if before := dotted(e.X); before != "" {
			return before + "." + e.Sel.Name
		}
	}
	return ""
}
