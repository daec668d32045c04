package selftest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/selftest"
	"oauth-proxyd/internal/term"
)

const width = 80

// run gives the report on a file and its text.
func run(t *testing.T, file string) (*selftest.Report, string) {
	t.Helper()
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := selftest.Run(t.Context(), selftest.Config{Settings: c})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	r.WriteText(term.Printer{Out: &text, Width: width}, filepath.Base(file))
	return r, text.String()
}

// TestReports compares each report with testdata.
func TestReports(t *testing.T) {
	for _, tt := range []struct{ name, file string }{
		{"shipped", "../../etc/oauth-proxyd.hcl"},
		{"conditions", "testdata/conditions.hcl"},
		{"unusual", "testdata/unusual.hcl"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, text := run(t, tt.file)
			if !r.OK {
				t.Error("it fails")
			}
			want, err := os.ReadFile(filepath.Join("testdata", tt.name+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("the report is\n%s\nwant\n%s", text, want)
			}
			for line := range strings.Lines(text) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
					t.Errorf("%d characters: %s", n, line)
				}
			}
			for _, secret := range []string{"not-a-token", "not-a-key", "never-shown"} {
				if strings.Contains(text, secret) {
					t.Errorf("%q is shown", secret)
				}
			}
		})
	}
}

// TestVerdicts has the sentences that an operator is to find.
func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		verdict    string // how it begins
		status     selftest.Status
		says       string // in its details
	}{
		{"the shipped file serves OAuth", "../../etc/oauth-proxyd.hcl", "an OAuth token", selftest.OK, ""},
		{"no rule", "testdata/no-rule.hcl", "an OAuth token", selftest.Fail, "an OAuth token would be refused with 401: no rule adds oauth-2025-04-20"},
		{"the list is replaced", "testdata/set.hcl", "the client's own features", selftest.Fail, "the client's own features are lost: claude-code-20250219"},
		{"a header that the API requires is removed", "testdata/version.hcl", "an OAuth token", selftest.Fail, `anthropic-version: header is required; because of header "anthropic-version"`},
		{"the same, with an API key", "testdata/version.hcl", "a request with an API key", selftest.Fail, `because of header "anthropic-version"`},
		{"the list is not added to", "testdata/default.hcl", "an OAuth token", selftest.Fail, `mode "merge" adds to it`},
		{"a condition that never holds", "testdata/never.hcl", "an OAuth token", selftest.Fail, "leaves it out"},
		{"a condition that holds for some", "testdata/conditions.hcl", "an OAuth token", selftest.Warn, "leaves it out"},
		{"limits that are small", "testdata/unusual.hcl", "every request", selftest.OK, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := run(t, tt.file)
			i := slices.IndexFunc(r.Verdicts, func(v selftest.Verdict) bool { return strings.HasPrefix(v.Name, tt.verdict) })
			if i < 0 {
				t.Fatalf("there is no verdict on %q", tt.verdict)
			}
			v := r.Verdicts[i]
			if r.OK == (v.Status == selftest.Fail) {
				t.Errorf("OK is %t", r.OK)
			}
			if said := strings.Join(v.Details, "\n"); v.Status != tt.status || !strings.Contains(said, tt.says) || tt.says == "" && said != "" {
				t.Errorf("%s: %q, want %s with %q", v.Status, said, tt.status, tt.says)
			}
		})
	}
}
