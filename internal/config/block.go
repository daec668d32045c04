package config

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// block is a block of the file, or the file itself.
type block struct {
	path   string      // "proxy.retry", `header "x-foo".when`; empty: the file
	schema []attribute // has those whose path begins with the block's
}

// in returns the path of a name in the block.
func (b block) in(name string) string { return strings.TrimPrefix(b.path+"."+name, ".") }

// takes lists the names of the attributes and blocks that belong into the block.
func (b block) takes() (names []string) {
	for _, a := range b.schema {
		below, ok := strings.CutPrefix(a.path, b.in(""))
		name, _, _ := strings.Cut(below, ".")
		if ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// takesBlock reports whether the block can have a block of that name.
func (b block) takesBlock(name string) bool {
	return slices.ContainsFunc(b.schema, func(a attribute) bool { return strings.HasPrefix(a.path, b.in(name)+".") })
}

// unknown reports a name that the block does not take as a kind: "attribute" or "block".
func (d *decoder) unknown(b block, kind, name string, at hcl.Range) {
	if d.full() {
		return // suggesting names for thousands takes seconds
	}
	takes, title := b.takes(), cmp.Or(b.path, "the file")
	switch {
	case b.takesBlock(name):
		d.report(at, quote(name)+" is a block, not an attribute", "write "+name+" { … }, without the equals sign")
	case slices.Contains(takes, name):
		d.report(at, quote(name)+" is an attribute, not a block", "write "+name+" = …")
	default: // suggest a similar name, the beginning of one in another block, or all that the block takes
		hint := cmp.Or(DidYouMean(name, takes), d.elsewhere(kind, name), title+" takes "+strings.Join(takes, ", "))
		d.report(at, title+" has no "+kind+" "+quote(name), hint)
	}
}

// elsewhere returns a hint at the block of the first name that begins with this one.
func (d *decoder) elsewhere(kind, beginning string) string {
	for _, a := range d.schema {
		names := strings.Split(a.path, ".")
		for i, name := range names {
			isBlock := i < len(names)-1
			switch {
			case isBlock != (kind == "block") || !strings.HasPrefix(name+"_", fold(beginning)+"_"):
			case i == 0:
				return "the " + name + " block belongs outside of all blocks"
			default:
				return name + " belongs in the " + strings.Join(names[:i], ".") + " block"
			}
		}
	}
	return ""
}
