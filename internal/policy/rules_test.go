package policy

import (
	"slices"
	"strings"
	"testing"
)

// trial is a file and the beginning of what a rule must say about it after its
// name; "" for nothing.
type trial struct{ name, path, text, want string }

// try runs a rule over files that break it and files that do not.
func try(t *testing.T, check func(source) []string, trials []trial) {
	t.Helper()
	for _, tt := range trials {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parse(tt.path, []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			findings := check(s)
			if tt.want == "" && len(findings) > 0 {
				t.Errorf("objects to what is allowed: %q", findings)
			}
			if tt.want != "" && (len(findings) != 1 || !strings.HasPrefix(findings[0], tt.path+":"+tt.want)) {
				t.Errorf("got %q, want one that begins with %q", findings, tt.path+":"+tt.want)
			}
		})
	}
}

func TestImportRule(t *testing.T) {
	const leaf, test = "internal/lifecycle/x.go", "internal/lifecycle/x_test.go"
	try(t, checkImports, []trial{
		{"standard library", leaf, "package lifecycle\nimport \"net/http\"", ""},
		{"leaf to leaf", leaf, "package lifecycle\nimport \"oauth-proxyd/internal/config\"", "2: internal/lifecycle must not import oauth-proxyd/internal/config"},
		{"leaf to daemon", "internal/proxy/x.go", "package proxy\nimport \"oauth-proxyd/internal/daemon\"", "2: internal/proxy must not"},
		{"daemon to leaf", "internal/daemon/x.go", "package daemon\nimport \"oauth-proxyd/internal/proxy\"", ""},
		{"command to daemon", "cmd/oauth-proxyd/x.go", "package main\nimport \"oauth-proxyd/internal/daemon\"", ""},
		{"hcl in config", "internal/config/x.go", "package config\nimport \"github.com/hashicorp/hcl/v2\"", ""},
		{"hcl below", "internal/config/x.go", "package config\nimport \"github.com/hashicorp/hcl/v2/hclparse\"", ""},
		{"hcl of another version", "internal/config/x.go", "package config\nimport \"github.com/hashicorp/hcl/v22\"", "2: internal/config must not"},
		{"hcl elsewhere", "internal/daemon/x.go", "package daemon\nimport \"github.com/hashicorp/hcl/v2\"", "2: internal/daemon must not"},
		{"tailscale elsewhere", "internal/proxy/x.go", "package proxy\nimport \"tailscale.com/client/local\"", "2: internal/proxy must not"},
		{"go-systemd elsewhere", "internal/daemon/x.go", "package daemon\nimport \"github.com/coreos/go-systemd/v22/daemon\"", "2: internal/daemon must not"},
		{"tint elsewhere", "cmd/oauth-proxyd/x.go", "package main\nimport \"github.com/lmittmann/tint\"", "2: cmd/oauth-proxyd must not"},
		{"prometheus elsewhere", "internal/tailnet/x.go", "package tailnet\nimport \"github.com/prometheus/client_golang/prometheus\"", "2: internal/tailnet must not"},
		{"a test's library in a test", test, "package lifecycle_test\nimport \"go.uber.org/goleak\"", ""},
		{"a test's library in the program", leaf, "package lifecycle\nimport \"go.uber.org/goleak\"", "2: internal/lifecycle must not"},
		{"its own package in a test", test, "package lifecycle_test\nimport \"oauth-proxyd/internal/lifecycle\"", ""},
		{"upstream in the proxy", "internal/proxy/x.go", "package proxy\nimport \"oauth-proxyd/internal/fakeupstream\"", "2: internal/proxy must not"},
		{"unknown package", "internal/util/x.go", "package util", "1: package internal/util is not in the list"},
	})
}

func TestImportTableRule(t *testing.T) {
	good := permission{"a", "x", false, "because"}
	tests := []struct {
		name  string
		table []permission
		want  string
	}{
		{"good", []permission{good, {"a", "y", false, "because"}, {"*", "z", true, "because"}}, ""},
		{"no reason", []permission{{"a", "x", false, ""}}, "a imports x: no reason"},
		{"twice", []permission{good, good}, "a imports x: twice"},
		{"unknown package", []permission{{"b", "x", false, "because"}}, "b imports x: b is not in the list of packages"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(checkTable(tt.table, []string{"a"}), "\n"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestImportUseRule(t *testing.T) {
	program := permission{"a", "x", false, "because"}
	tests := permission{"a", "x", true, "because"}
	const importing = "package a\nimport \"x\""
	for _, tt := range []struct {
		name  string
		table permission
		path  string
		text  string
		want  string
	}{
		{"used", program, "a/x.go", importing, ""},
		{"not used", program, "a/x.go", "package a", "a imports x: nothing does"},
		{"used elsewhere", program, "b/x.go", importing, "a imports x: nothing does"},
		{"used in tests", tests, "a/x_test.go", importing, ""},
		{"used in tests alone", program, "a/x_test.go", importing, "a imports x: nothing does"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parse(tt.path, []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(checkUse([]permission{tt.table}, []source{s}), "\n"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestVariableRule(t *testing.T) {
	try(t, checkVariables, []trial{
		{"a map", "a/x.go", "package a\nvar table = map[string]int{}", "2: package-level variable table"},
		{"no value", "a/x.go", "package a\nvar n int", "2: package-level variable n"},
		{"in a group", "a/x.go", "package a\nvar (\n\terrX = errors.New(\"x\")\n\tn int\n)", "4: package-level variable n"},
		{"in a test", "a/x_test.go", "package a\nvar n int", "2: package-level variable n"},
		{"an error and something", "a/x.go", "package a\nvar err, n = errors.New(\"x\"), 1", "2: package-level variable err"},
		{"version elsewhere", "a/x.go", "package a\nvar version = \"\"", "2: package-level variable version"},
		{"version in main", "cmd/a/main.go", "package main\nvar version = \"devel\"", ""},
		{"errors", "a/x.go", "package a\nvar errX = errors.New(\"x\")\nvar ErrY = fmt.Errorf(\"%w\", errX)", ""},
		{"embedded", "a/x.go", "package a\n//go:embed x.txt\nvar text string", ""},
		{"embedded in a group", "a/x.go", "package a\nvar (\n\t//go:embed x.txt\n\ttext string\n)", ""},
		{"assertion", "a/x.go", "package a\nvar _ I = T{}", ""},
		{"local", "a/x.go", "package a\nfunc f() { var n int; _ = n }", ""},
	})
}

func TestInitAndExitRules(t *testing.T) {
	try(t, checkInit, []trial{
		{"init", "a/x.go", "package a\nfunc init() {}", "2: func init"},
		{"a method", "a/x.go", "package a\nfunc (T) init() {}", ""},
	})
	try(t, checkExit, []trial{
		{"exit", "a/x.go", "package a\nfunc f() { os.Exit(1) }", "2: Exit outside of main.go"},
		{"exit as a value", "a/x.go", "package a\nfunc f() { defer g(os.Exit) }", "2: Exit outside of main.go"},
		{"fatal log", "a/x.go", "package a\nfunc f() { log.Fatalf(\"\") }", "2: Fatalf outside of main.go"},
		{"another file of the command", "cmd/a/x.go", "package main\nfunc f() { os.Exit(1) }", "2: Exit outside"},
		{"in a test", "a/x_test.go", "package a\nfunc TestX(t *testing.T) { os.Exit(1) }", "2: Exit outside"},
		{"main.go of no command", "a/main.go", "package a\nfunc f() { os.Exit(1) }", "2: Exit outside"},
		{"main", "cmd/a/main.go", "package main\nfunc main() { os.Exit(run()) }", ""},
		{"TestMain", "a/x_test.go", "package a\nfunc TestMain(m *testing.M) { os.Exit(m.Run()) }", ""},
		{"a fatal test", "a/x_test.go", "package a\nfunc TestX(t *testing.T) { t.Fatal() }", ""},
	})
}

func TestSizeRule(t *testing.T) {
	lines := func(n int) string { return strings.Repeat("\n", n) }
	try(t, checkSize, []trial{
		{"70 lines", "a/x.go", "package a\nfunc f() {" + lines(69) + "}", ""},
		{"71 lines", "a/x.go", "package a\nfunc f() {" + lines(70) + "}", "2: func f has 71 lines"},
		{"71 lines of a test", "a/x_test.go", "package a\nfunc (T) f() {" + lines(70) + "}", "2: func f has 71 lines"},
		{"a file of 450", "a/x.go", "package a" + lines(450), ""},
		{"a file of 451", "a/x.go", "package a" + lines(451), " 451 lines"},
		{"a test of 451", "a/x_test.go", "package a" + lines(451), ""},
	})
}

func TestFormRules(t *testing.T) {
	mark := strings.ToLower("TODO")
	try(t, checkMarks, []trial{
		{"put off", "a/x.go", "package a\n// TODO: more", "2: TODO"},
		{"in a block", "a/x.go", "package a\n/* FIXME */", "2: FIXME"},
		{"within a function", "a/x_test.go", "package a\nfunc f() {} // XXX", "2: XXX"},
		{"part of a word", "a/x.go", "package a\n// TODOS XXXL", ""},
		{"a word of prose", "a/x.go", "package a\n// " + mark, ""},
		{"a string", "a/x.go", "package a\nconst pattern = \"XXX\"", ""},
	})
	try(t, checkSkips, []trial{
		{"skip", "a/x_test.go", "package a\nfunc TestX(t *testing.T) { t.Skip() }", "2: Skip"},
		{"with a reason", "a/x_test.go", "package a\nfunc FuzzX(f *testing.F) { f.Skipf(\"\") }", "2: Skipf"},
		{"something else", "a/x_test.go", "package a\nfunc TestX(t *testing.T) { lexer.Skip() }", ""},
	})
	try(t, checkFormat, []trial{
		{"formatted", "a/x.go", "package a\n\nfunc f() {}\n", ""},
		{"spaces", "a/x.go", "package a\nfunc  f() {}\n", " not formatted"},
		{"no end of line", "a/x.go", "package a", " not formatted"},
	})
}

func TestDocRule(t *testing.T) {
	try(t, checkDocs, []trial{
		{"function", "a/x.go", "package a\nfunc F() {}", "2: exported F"},
		{"method", "a/x.go", "package a\nfunc (t *T[K, V]) F() {}", "2: exported F"},
		{"type", "a/x.go", "package a\ntype T int", "2: exported T"},
		{"type in a group", "a/x.go", "package a\n\n// Both.\ntype (\n\tT int\n)", "5: exported T"},
		{"constant", "a/x.go", "package a\nconst (\n\ta = 1\n\tB = 2\n)", "4: exported B"},
		{"error", "a/x.go", "package a\nvar ErrX = errors.New(\"x\")", "2: exported ErrX"},
		{"only a directive", "a/x.go", "package a\n\n//go:noinline\nfunc F() {}", "4: exported F"},
		{"documented", "a/x.go", "package a\n\n// F does.\nfunc F() {}\n\n// T is.\ntype T int\n\n// F does.\nfunc (T) F() {}", ""},
		{"documented group", "a/x.go", "package a\n\n// Both.\nconst (\n\tA = 1\n\tB = 2\n)", ""},
		{"behind the line", "a/x.go", "package a\nconst (\n\tA = 1 // a\n\tB = 2 // b\n)", ""},
		{"method of an unexported type", "a/x.go", "package a\nfunc (t *t[K]) F() {}", ""},
		{"a test", "a/x_test.go", "package a\nfunc TestX(t *testing.T) {}", ""},
	})
}

func TestFileNameRule(t *testing.T) {
	const dir = "internal/policy/x.go"
	try(t, checkFileNames, []trial{
		{"there", dir, "// Package policy begins in doc.go.\npackage policy", ""},
		{"gone", dir, "// Package policy begins in gone.go.\npackage policy", "1: there is no gone.go here"},
		{"within a function", dir, "package policy\nfunc f() {} // see gone.go", "2: there is no gone.go here"},
		{"of another package", dir, "package policy\n\n// See internal/gone/gone.go, at https://pkg.go.dev/x.", ""},
		{"a pattern", dir, "package policy\n\n// The files js*_gone.go.", ""},
	})
}

func TestLinkRule(t *testing.T) {
	const names = "\n\ntype Thing struct{ Field int }\n\nfunc (*Thing) Method() {}\n\nfunc Find() {}\n"
	check := func(s source) []string { return checkLinks([]source{s}) }
	try(t, check, []trial{
		{"there", "a/x.go", "// Package a has [Thing], [*Thing], [Thing.Field], [Thing.Method] and [Find].\npackage a" + names, ""},
		{"gone", "a/x.go", "// Package a has [Gone].\npackage a" + names, "1: there is no [Gone] here"},
		{"a method that is gone", "a/x.go", "package a" + names + "\n// G is like [Thing.Gone].\nfunc G() {}", "9: there is no [Thing.Gone] here"},
		{"of another package", "a/x.go", "// Package a uses [fs.ErrExist] and [errors].\npackage a", ""},
		{"an argument", "a/x.go", "// Package a has usage [COMMAND].\npackage a", ""},
	})
}

func TestPackageCommentRule(t *testing.T) {
	const bare, comment = "package a\n", "// Package a is.\npackage a\n"
	tests := []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"one", map[string]string{"a/x.go": comment, "a/y.go": bare}, nil},
		{"none", map[string]string{"a/x.go": bare}, []string{"a: 0 package comments, want 1: "}},
		{"two", map[string]string{"a/x.go": comment, "a/y.go": comment}, []string{"a: 2 package comments, want 1: a/x.go, a/y.go"}},
		{"only in a test", map[string]string{"a/x.go": bare, "a/x_test.go": comment}, []string{"a: 0 package comments, want 1: "}},
		{"a build tag is none", map[string]string{"a/x.go": "//go:build linux\n\n" + bare}, []string{"a: 0 package comments, want 1: "}},
		{"each package", map[string]string{"a/x.go": comment, "b/x.go": bare}, []string{"b: 0 package comments, want 1: "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var all []source
			for path, text := range tt.files {
				s, err := parse(path, []byte(text))
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, s)
			}
			slices.SortFunc(all, func(a, b source) int { return strings.Compare(a.path, b.path) })
			if got := checkPackageComments(all); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
