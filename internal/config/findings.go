package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// finding is one thing that is wrong.
type finding struct {
	place
	summary string
	hint    string
	context string // the block around it
	syntax  bool   // the parser's
}

// full reports whether enough was found. Looking on would take time, and nobody reads
// more.
func (d *decoder) full() bool { return len(d.findings) >= maxFindings }

func (d *decoder) find(at hcl.Range, context, summary, hint string) {
	d.findAt(place{at: at}, context, summary, hint)
}

func (d *decoder) findAt(at place, context, summary, hint string) {
	d.findings = append(d.findings, finding{place: at, context: context, summary: summary, hint: hint})
}

func (d *decoder) unknownAttribute(s section, context string, item *hclsyntax.Attribute) {
	name := item.Name
	if slices.ContainsFunc(s.sections, func(sub section) bool { return sub.name == name }) {
		d.find(item.NameRange, context, strconv.Quote(name)+" is a block, not an attribute", "write "+name+" { … }, without the equals sign")
		return
	}
	d.find(item.NameRange, context, inside(context)+" has no attribute "+quote(name), d.suggest(s, context, name))
}

func (d *decoder) unknownBlock(s section, context string, block *hclsyntax.Block) {
	name := block.Type
	if slices.ContainsFunc(s.attributes, func(a attribute) bool { return a.name == name }) {
		d.find(block.TypeRange, context, strconv.Quote(name)+" is an attribute, not a block", "write "+name+" = …")
		return
	}
	d.find(block.TypeRange, context, inside(context)+" has no block "+quote(name), d.suggest(s, context, name))
}

func inside(context string) string {
	if context == "" {
		return "the file"
	}
	return context
}

// suggest says what an unknown name may have meant: a name like it in the
// same block, the same name in another block, a name like it in another, or
// else what the block does take.
func (d *decoder) suggest(s section, context, name string) string {
	names := s.names()
	if near := nearest(name, names); near != "" {
		return "did you mean " + strconv.Quote(near) + "?"
	}
	everywhere := d.schema.paths("")
	for _, path := range everywhere {
		if lastName(path) == name {
			return belongs(path)
		}
	}
	for _, path := range everywhere {
		if nearest(name, []string{lastName(path)}) != "" {
			return "did you mean " + strconv.Quote(lastName(path)) + "? It " + strings.TrimPrefix(belongs(path), "it ")
		}
	}
	return inside(context) + " takes " + strings.Join(names, ", ")
}

func belongs(path string) string {
	parent := strings.TrimSuffix(path, lastName(path))
	if parent == "" {
		return "it belongs outside of all blocks"
	}
	return "it belongs in the " + strings.TrimSuffix(parent, ".") + " block"
}

func (d *decoder) duplicate(context string, block *hclsyntax.Block, first hcl.Range) {
	d.find(block.TypeRange, context,
		"second "+dotted(context, block.Type)+" block",
		"the first is on line "+strconv.Itoa(first.Start.Line)+": put everything into one of them")
}

// describe names the kind of a value, never the value.
func describe(v cty.Value) string {
	t := v.Type()
	switch {
	case v.IsNull():
		return "null"
	case t == cty.String:
		return "a string"
	case t == cty.Number:
		return "a number"
	case t == cty.Bool:
		return "true or false"
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		return "a list"
	default:
		return "a { … } value"
	}
}

// elementRange is where an element of a list is, counted from 1; the whole
// expression for 0 and where the list is not written out.
func elementRange(e hclsyntax.Expression, element int) hcl.Range {
	list, ok := e.(*hclsyntax.TupleConsExpr)
	if !ok || element == 0 || element > len(list.Exprs) {
		return e.Range()
	}
	return list.Exprs[element-1].Range()
}

// lower makes a sentence of the parser into a message of ours: no capital,
// no full stop, and attributes, not arguments.
func lower(sentence string) string {
	sentence = strings.TrimSuffix(strings.TrimSpace(sentence), ".")
	sentence = strings.NewReplacer("Argument", "Attribute", "argument", "attribute").Replace(sentence)
	if sentence == "" {
		return ""
	}
	return strings.ToLower(sentence[:1]) + sentence[1:]
}
