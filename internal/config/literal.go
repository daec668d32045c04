package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// literal is the value that e writes out. HCL could also calculate one: a setting
// needs no operator, template, condition or loop, and evaluating them may take
// any time and memory. Each part that is not written out is given to refuse, and
// stands in the value as one of no known type.
func literal(e hclsyntax.Expression, refuse func(hclsyntax.Expression)) cty.Value {
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return e.Val
	case *hclsyntax.ParenthesesExpr:
		return literal(e.Expression, refuse)
	case *hclsyntax.ObjectConsExpr:
		return cty.EmptyObjectVal // no setting takes one, whatever is in it
	case *hclsyntax.TupleConsExpr:
		elements := make([]cty.Value, len(e.Exprs))
		for i, element := range e.Exprs {
			elements[i] = literal(element, refuse)
		}
		return cty.TupleVal(elements)
	case *hclsyntax.TemplateExpr:
		if isText(e) {
			v, _ := e.Value(nil)
			return v
		}
	case *hclsyntax.UnaryOpExpr:
		if number, ok := e.Val.(*hclsyntax.LiteralValueExpr); ok && e.Op == hclsyntax.OpNegate && number.Val.Type() == cty.Number {
			return number.Val.Negate()
		}
	}
	refuse(e)
	return cty.DynamicVal
}

// isText reports whether a template has nothing in it but text.
func isText(e *hclsyntax.TemplateExpr) bool {
	for _, part := range e.Parts {
		if text, ok := part.(*hclsyntax.LiteralValueExpr); !ok || text.Val.Type() != cty.String {
			return false
		}
	}
	return true
}

// references lists the variables and the calls of functions in an expression, but for
// those within another one.
func references(e hclsyntax.Expression) []hcl.Range {
	var found []hcl.Range
	_ = hclsyntax.VisitAll(e, func(node hclsyntax.Node) hcl.Diagnostics { // which reports nothing
		switch node.(type) {
		case *hclsyntax.ScopeTraversalExpr, *hclsyntax.FunctionCallExpr:
			at := node.Range()
			if n := len(found); n == 0 || at.Start.Byte >= found[n-1].End.Byte {
				found = append(found, at)
			}
		}
		return nil
	})
	return found
}

// calculated reports a value, or an element of a list, that is not written out.
func (d *decoder) calculated(name, context string, e hclsyntax.Expression) {
	source := string(e.Range().SliceBytes(d.src))
	if _, word := e.(*hclsyntax.ScopeTraversalExpr); word && hclsyntax.ValidIdentifier(source) {
		d.find(e.Range(), context, name+": text needs quotes", "write "+quote(source))
		return
	}
	const hint = "write the value itself, in quotes if it is text"
	parts := references(e)
	for _, at := range parts {
		d.find(at, context, name+": there are no variables and no functions in this file", hint)
	}
	if len(parts) == 0 {
		d.find(e.Range(), context, name+": values are not calculated in this file", hint)
	}
}
