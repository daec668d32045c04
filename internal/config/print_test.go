package config_test

import (
	"bytes"
	"strings"
	"testing"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/term"
)

func render(t *testing.T, src string, width int, color bool) string {
	t.Helper()
	_, err := config.Parse("test.hcl", []byte(src))
	var out bytes.Buffer
	asError(t, err).Print(term.Printer{Out: &out, Width: width, Color: color})
	return out.String()
}

func TestPrintWidth(t *testing.T) {
	src := "access {\n  allow = [\"*\", \"" + strings.Repeat("loud", 50) + "\"]\n}\n"
	for line := range strings.Lines(render(t, src, 80, false)) {
		if n := len([]rune(line)); n > 81 && !strings.Contains(line, "error: ") {
			t.Errorf("a line of %d: %s", n, line)
		}
	}
	if out := render(t, src, 0, false); !strings.Contains(out, "an address, a CIDR, \"cap:example.com/cap/name\"\n") {
		t.Errorf("width 0 wraps a hint:\n%s", out)
	}
}

// The marks stand below what is wrong and are as long as it is, whichever part of the line is
// shown.
func TestPrintMarks(t *testing.T) {
	pad := strings.Repeat(" ", 90)
	for name, src := range map[string]string{
		"at the start":    "bad = 1" + pad + "#\n",
		"in the middle":   "log { bad = 1" + pad + "}\n",
		"at the end":      "log {" + pad + "bad = 1 }\n",
		"behind tabs":     "log {\n\t\tbad = 1\n}\n",
		"behind ä":        "log { /*ä*/ bad = 1 }\n",
		"behind an emoji": "log { /*👩🏽‍🚀*/ bad = 1 }\n",
	} {
		t.Run(name, func(t *testing.T) {
			lines := strings.Split(render(t, src, 60, false), "\n")
			code, marks := []rune(lines[1]), lines[2]
			at := strings.IndexByte(marks, '^')
			if at < 0 || !strings.HasSuffix(marks, " ^^^") || string(code[at:at+3]) != "bad" {
				t.Errorf("marked wrongly:\n%s\n%s", lines[1], marks)
			}
		})
	}
}

func TestPrintColor(t *testing.T) {
	src := "log {\n  level = \"\x1b[31mloud\u202e\"\n}\n"
	plain, colored := render(t, src, 80, false), render(t, src, 80, true)
	if strings.ContainsAny(plain, "\x1b\u202e") {
		t.Errorf("the file's control characters reach the terminal: %q", plain)
	}
	for _, code := range []string{"31;1", "0", "1", "2"} {
		colored = strings.ReplaceAll(colored, "\x1b["+code+"m", "")
	}
	if colored != plain {
		t.Errorf("without its colors, the text differs:\n%q\n%q", colored, plain)
	}
}

// No output shows a credential, wherever in the file it is.
func TestCredentialsAreMasked(t *testing.T) {
	for name, src := range map[string]string{
		"unquoted token":           "header \"x-a\" {\n value = sk-ant-oat01-hunter2hunter2\n}\n",
		"token beside an error":    "header \"x-a\" { vlue = \"sk-ant-hunter2\" }\n",
		"an encoded token":         "upstream = \"https://a.com/%73%256B%2Da%4Et-oat01%2dhunter2\"\n",
		"another one":              "x = \"sk%2dAnt%2Dapi03-hunter2\"\n",
		"an encoded password":      "proxy {\n upstream = \"u%3ahunter2%2540a.com\"\n}\n",
		"a JWT":                    "x = \"eyJhbGciOi.hunter2.c2ln\"\n",
		"token as a name":          "sk-ant-api03-hunter2hunter2 = 1\n",
		"token as a block":         "sk-ant-api03-hunter2hunter2 {\n}\n",
		"token as a header":        "header \"sk-ant-api03-hunter2 x\" {\n value = \"x\"\n}\n",
		"token as a source":        "access {\n allow = [\"sk-ant-api03-hunter2\"]\n}\n",
		"token as a level":         "log {\n level = \"Bearer hunter2\"\n}\n",
		"token in a comment":       "log { bad = 1 } # Authorization: Bearer hunter2\n",
		"basic":                    "header \"x-a\" {\n value = \"Basic hunter2\"\n}\n",
		"lower case":               "header \"x-a\" {\n value = \"bearer hunter2\"\n}\n",
		"user agent":               "header \"x-a\" {\n value = \"x\"\n when {\n user_agent_prefix = \"Bearer hunter2\"\n }\n}\n",
		"attribute":                "authorization = \"hunter2\"\n",
		"quote in password":        "proxy {\n upstream_url = \"https://u:a\\\"hunter2@a.com\"\n}\n",
		"space in password":        "proxy {\n upstream_url = \"https://u:a hunter2@a.com\"\n}\n",
		"question in password":     "proxy {\n upstream_url = \"https://u:a?hunter2@a.com\"\n}\n",
		"port like a password":     "proxy {\n upstream_url = \"u:hunter2@a.com\"\n}\n",
		"number after it":          "proxy {\n upstream_url = \"https://u:hunter2@a.com\" 5\n}\n",
		"in the wrong block":       "log {\n upstream_url = \"https://hunter2@a.com\"\n}\n",
		"in an unknown one":        "proxy {\n upstream = \"u:hunter2@a.com\"\n}\n",
		"in a list of proxies":     "proxy {\n upstream_proxy = [\n  \"http://a:1\",\n  \"hunter2@a.com\",\n ]\n}\n",
		"space in such a list":     "proxy {\n upstream_proxy = [\n  \"u hunter2@a.com\", bad\n ]\n}\n",
		"query in such a list":     "proxy {\n upstream_proxy = [\n  \"http://a:1?hunter2\",\n ]\n}\n",
		"in a list":                "proxy {\n upstream_url = [\"https://u:hunter2@a.com\"]\n}\n",
		"cookie":                   "header \"cookie\" {\n value = \"hunter2 \"\n}\n",
		"secret in one line":       "header \"x-secret\" { value = \"hunter2 \" }\n",
		"secret in a broken block": "header \"x-secret\" {\n value = \"hunter2\" \"\n}\n",
		"secret by another name":   "header \"x-my-key\" {\n mode = \"hunter2\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("test.hcl", []byte(src))
			var out bytes.Buffer
			asError(t, err).Print(term.Printer{Out: &out})
			if strings.Contains(out.String()+err.Error(), "hunter2") {
				t.Errorf("it shows:\n%s%v", out.String(), err)
			}
		})
	}
}
