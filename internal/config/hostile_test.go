package config_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"oauth-proxyd/internal/config"
)

// within fails the test if work takes much too long. The bound is generous for slow machines: what
// goes wrong here takes minutes, or never ends.
func within(t *testing.T, work func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it takes too long")
	}
}

const maxFileSize = 128 << 10

// A file that is made to exhaust the parser is refused before it is parsed: a stack overflow would
// end the daemon, whatever it was serving.
func TestHostileFiles(t *testing.T) {
	for name, src := range map[string]string{
		"signs":         "proxy {\n queue_limit = " + most("-") + "1\n}\n",
		"negations":     "tailscale {\n required = " + most("!") + "true\n}\n",
		"parentheses":   "proxy {\n queue_limit = " + most("("),
		"brackets":      "access {\n allow = " + most("["),
		"blocks":        most("log {\n"),
		"one-line":      most("log {"),
		"interpolation": "log {\n level = \"" + most("${\""),
		"conditions":    "proxy {\n queue_limit = " + most("1?1:") + "1\n}\n",
		"ifs":           "log {\n level = \"" + most("%{if true}") + "\"\n}\n",
		"fors":          "log {\n level = " + most("[for a in "),
		"sums":          "proxy {\n queue_limit = 1" + most("+1") + "\n}\n",
		"comparisons":   "tailscale {\n required = true" + most("==true") + "\n}\n",
		"attributes":    "proxy {\n queue_limit = {}" + most(".a") + "\n}\n",
		"indices":       "proxy {\n queue_limit = [1]" + most("[0]") + "\n}\n",
		"splats":        "proxy {\n queue_limit = 1" + most("[*]") + "\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			within(t, func() { _, err = config.Parse("test.hcl", []byte(src)) })
			if bad := asError(t, err); !strings.Contains(bad.Error(), "brackets and operators") {
				t.Errorf("error is %v", bad)
			}
		})
	}
}

// Large files of other shapes are parsed in a time that is proportional to their size.
func TestLargeFiles(t *testing.T) {
	for name, src := range map[string]string{
		"digits":      "proxy {\n queue_limit = " + fill("9") + "\n}\n",
		"elements":    "access {\n allow = [\n" + most("\"levle\",\n") + "]\n}\n",
		"rules":       most("header \"a\" {\n}\n"),
		"lines":       most("a = 1\n"),
		"numbers":     most("a = 1e99999999\n"),
		"names":       "log {\n" + most("levle = 1\n") + "}\n",
		"one line":    most("a"),
		"long lines":  most(fill("sk-ant- ") + "\n"),
		"escapes":     most("a = \"" + fill(`\q`) + "\"\n"),
		"proxies":     most("upstream_proxy = [\n"),
		"accents":     "log {\n level = \"" + fill("a\u0301") + "\"\n}\n",
		"labels":      fill("log \"a\" "),
		"errors":      fill("a {\n}\n"),
		"heredocs":    most("a = <<A\n"),
		"one heredoc": "a = <<-A\n" + most("  a\n") + "A\n",
		"near misses": "log {\n" + fill("levle {\n}\n") + "}\n",
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			within(t, func() { _, err = config.Parse("test.hcl", []byte(src)) })
			checkSize(t, asError(t, err))
		})
	}
}

// A file with a huge number is refused in time, wherever the number is and whatever is calculated
// with it.
func TestHostileNumbers(t *testing.T) {
	for _, number := range []string{
		"1.5e99999999", "1e-99999999", "1E+2147483647", "9e99999999999999999999", "1e9999", strings.Repeat("9", 41), "0." + strings.Repeat("1", 4000),
	} {
		for name, form := range map[string]string{
			"a value":            "proxy {\n queue_limit = %s\n}\n",
			"a string's place":   "log {\n level = %s\n}\n",
			"a negative one":     "proxy {\n queue_limit = -%s\n}\n",
			"a product":          "proxy {\n queue_limit = %[1]s * %[1]s\n}\n",
			"a remainder":        "proxy {\n queue_limit = %[1]s %% 3\n}\n",
			"a comparison":       "tailscale {\n required = %[1]s > 1\n}\n",
			"a condition":        "proxy {\n queue_limit = true ? 1 : %s\n}\n",
			"a template":         "log {\n level = \"${%s}\"\n}\n",
			"templates in each":  "log {\n level = \"${\"${%s}\"}\"\n}\n",
			"a heredoc":          "log {\n level = <<A\n${%s}\nA\n}\n",
			"a list":             "access {\n allow = [%s]\n}\n",
			"an index":           "log {\n level = [\"info\"][%s]\n}\n",
			"a legacy index":     "log {\n level = [\"info\"].%s\n}\n",
			"a splat":            "access {\n allow = %s[*]\n}\n",
			"a key":              "log {\n level = { %s = 1 }\n}\n",
			"a for expression":   "access {\n allow = [for a in [%s] : a]\n}\n",
			"brackets":           "proxy {\n queue_limit = ((%s))\n}\n",
			"a call":             "proxy {\n queue_limit = pow(%s, 2)\n}\n",
			"an unknown setting": "size = %s\n",
			"an unknown block":   "limits {\n size = %s\n}\n",
		} {
			t.Run(number[:min(len(number), 12)]+" in "+name, func(t *testing.T) {
				src := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(form, "%[1]s", number), "%s", number), "%%", "%")
				var err error
				within(t, func() { _, err = config.Parse("test.hcl", []byte(src)) })
				checkSize(t, asError(t, err))
			})
		}
	}
}

// checkSize fails the test if the diagnostics are too long to be printed and sent at once.
func checkSize(t *testing.T, bad *config.Error) {
	t.Helper()
	all := bad.Diagnostics()
	if len(all) > 101 {
		t.Errorf("%d diagnostics", len(all))
	}
	for _, d := range all {
		if len(d.Summary) > 2500 || len(d.Detail) > 2500 || d.Snippet != nil && utf8.RuneCountInString(d.Snippet.Code) > 72 {
			t.Fatalf("a diagnostic is too long: %.200q", d.Summary)
		}
	}
	if n := len(bad.Error()); n == 0 || n > 3000 {
		t.Errorf("the error has %d bytes", n)
	}
}

// Of a long line, the part that is wrong is shown.
func TestLongLinesAreCut(t *testing.T) {
	for name, src := range map[string]string{
		"at the start": `log { levle = "` + strings.Repeat("é", 2000) + `" }`,
		"at the end":   `log { /* ` + strings.Repeat("é", 2000) + ` */ levle = 1 }`,
		"amid":         `log { /* ` + strings.Repeat("é", 2000) + ` */ levle = "` + strings.Repeat("é", 2000) + `" }`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("test.hcl", []byte(src))
			s := asError(t, err).Diagnostics()[0].Snippet
			code := []rune(s.Code)
			if got := string(code[s.Start:s.End]); got != "levle" || len(code) != 72 {
				t.Errorf("marked is %q in %d characters", got, len(code))
			}
		})
	}
}

// most repeats s up to what a file may have.
func most(s string) string { return strings.Repeat(s, (maxFileSize-100)/len(s)) }

func fill(s string) string { return strings.Repeat(s, 12<<10/len(s)) }
