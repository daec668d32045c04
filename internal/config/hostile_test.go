package config_test

import (
	"strings"
	"testing"

	"oauth-proxyd/internal/config"
)

// A file that is made to exhaust the parser is refused before it is parsed: a
// stack that overflows would end the daemon, whatever it was serving.
func TestHostileFiles(t *testing.T) {
	for name, src := range map[string]string{
		"signs":         "proxy {\n queue_limit = " + fill("-") + "1\n}\n",
		"negations":     "tailscale {\n required = " + fill("!") + "true\n}\n",
		"parentheses":   "proxy {\n queue_limit = " + fill("("),
		"brackets":      "access {\n allow = " + fill("["),
		"blocks":        fill("log {\n"),
		"one-line":      fill("log {"),
		"interpolation": "log {\n level = \"" + fill("${\""),
		"conditions":    "proxy {\n queue_limit = " + fill("1?1:") + "1\n}\n",
		"ifs":           "log {\n level = \"" + fill("%{if true}") + "\"\n}\n",
		"fors":          "log {\n level = " + fill("[for a in "),
		"sums":          "proxy {\n queue_limit = 1" + fill("+1") + "\n}\n",
		"comparisons":   "tailscale {\n required = true" + fill("==true") + "\n}\n",
		"attributes":    "proxy {\n queue_limit = {}" + fill(".a") + "\n}\n",
		"indices":       "proxy {\n queue_limit = [1]" + fill("[0]") + "\n}\n",
		"splats":        "proxy {\n queue_limit = 1" + fill("[*]") + "\n}\n",
		"heredocs":      fill("a = <<A\n"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("test.hcl", []byte(src))
			if bad := asError(t, err); !strings.Contains(bad.Error(), "nested too deeply") {
				t.Errorf("error is %v", bad)
			}
		})
	}
}

// Other large files take their time in proportion, and get their errors.
func TestLargeFiles(t *testing.T) {
	for name, src := range map[string]string{
		"digits":      "proxy {\n queue_limit = " + fill("9") + "\n}\n",
		"exponent":    "proxy {\n queue_limit = 1e999999999\n}\n",
		"labels":      fill("log \"a\" "),
		"errors":      fill("a {\n}\n"),
		"near misses": "log {\n" + fill("levle {\n}\n") + "}\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("test.hcl", []byte(src))
			if bad := asError(t, err); bad.Error() == "" {
				t.Error("an error without words")
			}
		})
	}
}

func fill(s string) string { return strings.Repeat(s, 32<<10/len(s)) }
