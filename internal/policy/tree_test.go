package policy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const (
	moduleName = "oauth-proxyd"
	moduleRoot = "../.."
)

// source is one Go file, parsed.
type source struct {
	path string // relative to the module's root, with slashes
	text []byte
	file *ast.File
	fset *token.FileSet
}

func parse(name string, text []byte) (source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
	if err != nil {
		return source{}, fmt.Errorf("parsing: %w", err)
	}
	return source{path: name, text: text, file: file, fset: fset}, nil
}

// dir is the package's folder, "." for the module's root.
func (s source) dir() string { return path.Dir(s.path) }

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// line is the line number of a position.
func (s source) line(pos token.Pos) int { return s.fset.Position(pos).Line }

// at formats a finding about a place in the file.
func (s source) at(pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: ", s.path, s.line(pos)) + fmt.Sprintf(format, args...)
}

// comments are the lines of all comments, and the blocks.
func (s source) comments() []*ast.Comment {
	var all []*ast.Comment
	for _, group := range s.file.Comments {
		all = append(all, group.List...)
	}
	return all
}

// functions are the file's functions and methods.
func (s source) functions() []*ast.FuncDecl {
	var all []*ast.FuncDecl
	for _, decl := range s.file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok {
			all = append(all, f)
		}
	}
	return all
}

// loadModule parses all Go files of the module.
func loadModule(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(moduleRoot, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return enter(name, entry.Name())
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(moduleRoot, name)
		if err != nil {
			return err
		}
		file, err := parse(filepath.ToSlash(relative), text)
		all = append(all, file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// enter keeps the walk out of what the go command does not build with ./...
func enter(name, base string) error {
	if name == moduleRoot {
		return nil
	}
	hidden := strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")
	if hidden || base == "testdata" || base == "vendor" {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return fs.SkipDir // a module of its own
	}
	return nil
}
