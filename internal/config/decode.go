package config

import (
	"slices"
	"strconv"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// decoder fills one Config from one file and its overrides, and collects all errors.
type decoder struct {
	filename string
	src      []byte
	config   *Config
	schema   []attribute
	settings map[string]location  // where the value of an attribute was set, by its path
	rules    map[string]hcl.Range // the header rules so far, by their names
	errors   []Diagnostic
	unparsed map[int]bool  // lines with an error of the parser
	masked   func() string // src without credentials
}

func newDecoder(filename string, src []byte) *decoder {
	c := Default()
	return &decoder{
		filename: filename, src: src, config: c, schema: schema(c),
		masked:   sync.OnceValue(func() string { return maskFile(string(src)) }),
		settings: map[string]location{}, rules: map[string]hcl.Range{}, unparsed: map[int]bool{},
	}
}

// body decodes the body of a block, and the blocks in it.
func (d *decoder) body(b block, body *hclsyntax.Body) {
	for _, item := range body.Attributes {
		i := slices.IndexFunc(b.schema, func(a attribute) bool { return a.path == b.in(item.Name) })
		if i < 0 {
			d.unknown(b, "attribute", item.Name, item.NameRange)
			continue
		}
		d.attribute(b.schema[i], item.Expr)
	}
	first := map[string]hcl.Range{}
	for _, sub := range body.Blocks {
		earlier, second := first[sub.Type]
		switch {
		case !b.takesBlock(sub.Type):
			d.unknown(b, "block", sub.Type, sub.TypeRange)
		case b.path == "" && sub.Type == "header":
			d.header(sub)
		case second:
			d.report(sub.TypeRange, "second "+b.in(sub.Type)+" block",
				"put everything into the first, which is on line "+strconv.Itoa(earlier.Start.Line))
		default:
			first[sub.Type] = sub.TypeRange
			if len(sub.Labels) > 0 {
				d.report(sub.LabelRanges[0], sub.Type+" takes no label", "write "+sub.Type+" { … }")
			}
			d.body(block{path: b.in(sub.Type), schema: b.schema}, sub.Body)
		}
	}
}

// header decodes one rule. Only valid rules are compared with each other.
func (d *decoder) header(parsed *hclsyntax.Block) {
	if len(parsed.Labels) != 1 {
		d.report(parsed.TypeRange, "a header block needs one label: the name of the header", `write header "anthropic-beta" { … }`)
		return
	}
	label, at, before := parsed.Labels[0], parsed.LabelRanges[0], len(d.errors)
	name := "header " + quote(label)
	if bad := checkName(label); bad != nil {
		d.report(at, name+" "+bad.summary, bad.hint)
	}
	rule := defaultRule(label)
	d.body(block{path: name, schema: headerSchema(name, &rule)}, parsed.Body)
	value, hasValue := parsed.Body.Attributes["value"]
	if bad := rule.check(hasValue); bad != nil && len(d.errors) == before {
		if hasValue {
			at = value.Expr.Range()
		}
		d.report(at, name+": "+bad.summary, bad.hint)
	}
	if earlier, second := d.rules[rule.Rule()]; second && len(d.errors) == before {
		d.report(at, "second rule for "+rule.Rule(),
			"the first is on line "+strconv.Itoa(earlier.Start.Line)+": keep one of them, or give them different conditions")
	}
	if len(d.errors) == before {
		d.rules[rule.Rule()] = parsed.TypeRange
	}
	d.config.Headers = append(d.config.Headers, rule)
}

func (d *decoder) attribute(a attribute, e hclsyntax.Expression) {
	v, ok := d.literal(a.path, e)
	switch {
	case !ok:
	case !a.accepts(v):
		d.report(e.Range(), a.path+": must be "+a.want, "")
	default:
		d.set(a, v, location{Range: e.Range()}, e)
	}
}

// set puts a value into the Config. e is its expression, or nil for an override.
func (d *decoder) set(a attribute, v cty.Value, at location, e hclsyntax.Expression) {
	list, _ := e.(*hclsyntax.TupleConsExpr)
	for _, bad := range a.set(v) {
		where := at
		if list != nil && bad.element > 0 {
			where.Range = list.Exprs[bad.element-1].Range()
		}
		d.reportAt(where, a.path+": "+bad.summary, bad.hint)
	}
	d.settings[a.path] = at
}

// literal returns the value of a literal, and reports every other expression: no setting needs an
// operator, a template, a condition or a loop, and evaluating one can take any time and memory.
func (d *decoder) literal(path string, e hclsyntax.Expression) (v cty.Value, ok bool) {
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return e.Val, true
	case *hclsyntax.ObjectConsExpr:
		return cty.EmptyObjectVal, true // no setting takes one, whatever is in it
	case *hclsyntax.TupleConsExpr:
		elements, all := make([]cty.Value, len(e.Exprs)), true
		for i, element := range e.Exprs {
			elements[i], ok = d.literal(path, element)
			all = all && ok
		}
		return cty.TupleVal(elements), all
	case *hclsyntax.TemplateExpr:
		if !slices.ContainsFunc(e.Parts, isCalculated) {
			v, _ = e.Value(nil)
			return v, true
		}
	}
	source := string(e.Range().SliceBytes(d.src))
	if _, word := e.(*hclsyntax.ScopeTraversalExpr); word && hclsyntax.ValidIdentifier(source) {
		d.report(e.Range(), path+": text needs quotes", "write "+quote(source))
	} else {
		d.report(e.Range(), path+": expressions are not supported", "write the value itself, in quotes if it is text")
	}
	return cty.NilVal, false
}

func isCalculated(part hclsyntax.Expression) bool {
	text, ok := part.(*hclsyntax.LiteralValueExpr)
	return !ok || text.Val.Type() != cty.String
}

func (d *decoder) overrides(list []Override) {
	for _, o := range list {
		at := location{origin: o.Origin}
		i := slices.IndexFunc(d.schema, func(a attribute) bool { return a.path == o.Attribute && a.kind == cty.String })
		if i < 0 {
			d.reportAt(at, "nothing can override "+quote(o.Attribute), "")
			continue
		}
		d.set(d.schema[i], cty.StringVal(o.Value), at, nil)
	}
}
