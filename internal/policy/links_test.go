package policy

import (
	"go/ast"
	"regexp"
	"strings"
)

// checkLinks is the rule that a name of the package in brackets, which go doc makes a
// link of, exists.
func checkLinks(all []source) []string {
	named := make(map[string]map[string]bool)
	for _, s := range all {
		if named[s.dir()] == nil {
			named[s.dir()] = make(map[string]bool)
		}
		s.name(named[s.dir()])
	}
	link := regexp.MustCompile(`\[\*?([A-Z]\w*[a-z]\w*)(?:\.([A-Z]\w*))?\]`)
	var findings []string
	for _, s := range all {
		for _, group := range s.file.Comments {
			for _, found := range link.FindAllStringSubmatch(group.Text(), -1) {
				if name := strings.Trim(found[1]+"."+found[2], "."); !named[s.dir()][name] {
					findings = append(findings, s.at(group.Pos(), "there is no [%s] here", name))
				}
			}
		}
	}
	return findings
}

// name notes what a link can lead to: names of the package, and Type.Member.
func (s source) name(known map[string]bool) {
	for _, decl := range s.file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				known[d.Name.Name] = true
			} else {
				known[receiver(d.Recv.List[0].Type).Name+"."+d.Name.Name] = true
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				nameSpec(spec, known)
			}
		}
	}
}

func nameSpec(spec ast.Spec, known map[string]bool) {
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, n := range s.Names {
			known[n.Name] = true
		}
	case *ast.TypeSpec:
		known[s.Name.Name] = true
		if structure, ok := s.Type.(*ast.StructType); ok {
			for _, field := range structure.Fields.List {
				for _, n := range field.Names {
					known[s.Name.Name+"."+n.Name] = true
				}
			}
		}
	}
}
