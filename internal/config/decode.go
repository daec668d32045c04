package config

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// decoder fills one Config from one file and its overrides, and collects all
// that is wrong on the way.
type decoder struct {
	filename string
	src      []byte
	config   *Config
	schema   section
	places   map[string]place     // where each value came from, by its dotted path
	rules    map[string]hcl.Range // the header rules so far, by their names
	findings []finding
}

// place is where a value came from.
type place struct {
	at     hcl.Range
	origin string // set for an override, which has no position
	bad    bool
}

func newDecoder(filename string, src []byte) *decoder {
	c := defaults()
	return &decoder{
		filename: filename,
		src:      src,
		config:   c,
		schema:   schema(c),
		places:   map[string]place{},
		rules:    map[string]hcl.Range{},
	}
}

// file decodes the file. What could be parsed of a broken one is decoded as
// well, so that its other errors show too.
func (d *decoder) file() {
	body, ok := d.parse()
	if !ok {
		return
	}
	if at, many := tooManyRules(body); many {
		d.find(at, "", "there are too many header blocks", "at most "+strconv.Itoa(maxRules))
		return
	}
	d.body(d.schema, "", body)
}

// body decodes the body of a block; name is the block's dotted path.
func (d *decoder) body(s section, name string, body *hclsyntax.Body) {
	for _, item := range sorted(body.Attributes) {
		if d.full() {
			return
		}
		i := slices.IndexFunc(s.attributes, func(a attribute) bool { return a.name == item.Name })
		if i < 0 {
			d.unknownAttribute(s, name, item)
			continue
		}
		d.attribute(s.attributes[i], name, item)
	}
	first := map[string]hcl.Range{}
	for _, block := range body.Blocks {
		if d.full() {
			return
		}
		i := slices.IndexFunc(s.sections, func(sub section) bool { return sub.name == block.Type })
		switch earlier, twice := first[block.Type]; {
		case i < 0:
			d.unknownBlock(s, name, block)
		case s.sections[i].label != "":
			d.header(s.sections[i], block)
		case twice:
			d.duplicate(name, block, earlier)
		default:
			first[block.Type] = block.TypeRange
			d.block(s.sections[i], name, block)
		}
	}
}

// sorted gives the attributes in the order of the file.
func sorted(attributes hclsyntax.Attributes) []*hclsyntax.Attribute {
	return slices.SortedFunc(maps.Values(attributes), func(a, b *hclsyntax.Attribute) int {
		return cmp.Compare(a.NameRange.Start.Byte, b.NameRange.Start.Byte)
	})
}

func (d *decoder) block(s section, parent string, block *hclsyntax.Block) {
	name := dotted(parent, s.name)
	if len(block.Labels) > 0 {
		d.find(block.LabelRanges[0], parent, s.name+" takes no label", "write "+s.name+" { … }")
	}
	if block.Body != nil {
		d.body(s, name, block.Body)
	}
}

// header decodes one rule. One that is bad in itself is not compared with the
// others.
func (d *decoder) header(prototype section, block *hclsyntax.Block) {
	if len(block.Labels) != 1 {
		d.find(block.TypeRange, "", "a header block wants one label: "+prototype.label, `write header "anthropic-beta" { … }`)
		return
	}
	label, at := block.Labels[0], block.LabelRanges[0]
	name, before := "header "+quote(label), len(d.findings)
	if wrong := checkName(label); wrong != nil {
		d.find(at, name, name+" "+wrong.summary, wrong.hint)
	}
	rule := Header{Name: http.CanonicalHeaderKey(label), Mode: Set}
	value, given := d.rule(&rule, name, block)
	if wrong := rule.check(given); wrong != nil && len(d.findings) == before {
		if given {
			at = value.at
		}
		d.find(at, name, name+": "+wrong.summary, wrong.hint)
	}
	if len(d.findings) == before {
		d.secondRule(rule, block)
	}
	d.config.Headers = append(d.config.Headers, rule)
}

// rule decodes the body of a header block and says where its value is. The
// names in it are its own: another rule has the same ones.
func (d *decoder) rule(h *Header, name string, block *hclsyntax.Block) (value place, given bool) {
	places := d.places
	defer func() { d.places = places }()
	d.places = map[string]place{}
	if block.Body != nil {
		d.body(headerSection(h), name, block.Body)
	}
	value, given = d.places[name+".value"]
	return value, given
}

func (d *decoder) secondRule(h Header, block *hclsyntax.Block) {
	name := h.name()
	earlier, twice := d.rules[name]
	if twice {
		d.find(block.LabelRanges[0], "header "+quote(block.Labels[0]),
			"second rule for "+name,
			"the first is on line "+strconv.Itoa(earlier.Start.Line)+": keep one of them, or give them different conditions")
		return
	}
	d.rules[name] = block.TypeRange
}

// attribute reads one value.
func (d *decoder) attribute(a attribute, parent string, item *hclsyntax.Attribute) {
	name := dotted(parent, a.name)
	at := item.Expr.Range()
	faults, ok := d.evaluate(a, parent, item)
	for _, wrong := range faults {
		d.find(elementRange(item.Expr, wrong.element), parent, name+": "+wrong.summary, wrong.hint)
	}
	d.places[name] = place{at: at, bad: !ok || len(faults) > 0}
}

// evaluate sets the attribute. ok is false when something was found before
// the value could be looked at.
func (d *decoder) evaluate(a attribute, parent string, item *hclsyntax.Attribute) (faults []fault, ok bool) {
	name := dotted(parent, a.name)
	if list, ok := item.Expr.(*hclsyntax.TupleConsExpr); ok && len(list.Exprs) > maxElements {
		d.find(item.Expr.Range(), parent, name+": the list is too long", "at most "+strconv.Itoa(maxElements)+" entries")
		return nil, false
	}
	before := len(d.findings)
	v := literal(item.Expr, func(e hclsyntax.Expression) { d.calculated(name, parent, e) })
	if len(d.findings) > before {
		return nil, false
	}
	if v.IsNull() || !a.accepts(v.Type()) {
		hint := ""
		if v.IsNull() {
			hint = "leave the line out for the default"
		}
		d.find(item.Expr.Range(), parent, name+" wants "+a.want+", not "+describe(v), hint)
		return nil, false
	}
	return a.set(v), true
}

// overrides applies what outranks the file.
func (d *decoder) overrides(list []Override) {
	for _, o := range list {
		a, ok := d.schema.lookup(o.Attribute)
		if !ok || a.kind != cty.String {
			d.findAt(place{origin: o.Origin}, "", "nothing can override "+strconv.Quote(o.Attribute), "")
			continue
		}
		faults := a.set(cty.StringVal(o.Value))
		for _, wrong := range faults {
			d.findAt(place{origin: o.Origin}, "", o.Attribute+": "+wrong.summary, wrong.hint)
		}
		d.places[o.Attribute] = place{origin: o.Origin, bad: len(faults) > 0}
	}
}
