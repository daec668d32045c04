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
	r, err := selftest.Run(t.Context(), c)
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
	const claude, sdk, curl = "Claude Code", "SDK with an OAuth", "curl"
	for _, tt := range []struct {
		name, file string
		client     string // how its name begins
		verdict    selftest.Status
		says       string
	}{
		{"the shipped file serves OAuth", "../../etc/oauth-proxyd.hcl", sdk, selftest.OK, ""},
		{"no rule", "testdata/no-rule.hcl", sdk, selftest.Fail, "the API refuses its OAuth token with 401, because anthropic-beta lacks oauth-2025-04-20"},
		{"the list is replaced", "testdata/set.hcl", claude, selftest.Fail, "its own features are lost: claude-code-20250219"},
		{"a header that the API requires is removed", "testdata/version.hcl", sdk, selftest.Fail, "400: anthropic-version: header is required"},
		{"the same, with an API key", "testdata/version.hcl", curl, selftest.Fail, "400: anthropic-version: header is required"},
		{"the list is not added to", "testdata/default.hcl", claude, selftest.Fail, "anthropic-beta lacks oauth-2025-04-20"},
		{"a condition that never holds", "testdata/never.hcl", sdk, selftest.Fail, "leave it out"},
		{"a condition that holds for some", "testdata/conditions.hcl", sdk, selftest.Warn, "leave it out"},
		{"limits that are small", "testdata/unusual.hcl", curl, selftest.OK, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := run(t, tt.file)
			i := slices.IndexFunc(r.Clients, func(c selftest.Client) bool { return strings.HasPrefix(c.Name, tt.client) })
			c := r.Clients[i]
			if r.OK == (c.Verdict == selftest.Fail) {
				t.Errorf("OK is %t", r.OK)
			}
			if c.Verdict != tt.verdict || !strings.Contains(c.Why, tt.says) || tt.says == "" && c.Why != "" {
				t.Errorf("%s: %q, want %s with %q", c.Verdict, c.Why, tt.verdict, tt.says)
			}
		})
	}
}
