package monitoring_test

import (
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	rulesFile = "oauth-proxyd.rules.yml"
	docs      = "file:///usr/share/doc/oauth-proxyd/"
)

// rule is an alert or a recorded series.
type rule struct {
	Alert, Record, Expr string
	Labels, Annotations map[string]string
}

func alerts(t *testing.T) (all []rule) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal([]byte(read(t, packaged+rulesFile)), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				all = append(all, r)
			}
		}
	}
	if len(all) == 0 {
		t.Fatal("no alerts")
	}
	return all
}

// unitTests are the files with promtool's unit tests of the rules.
func unitTests() []string {
	return []string{"oauth-proxyd.rules.test.yml", "oauth-proxyd.rules.long.test.yml"}
}

func TestPromtoolFindsNoFaultInTheRules(t *testing.T) {
	promtool(t, "", "check", "rules", "--lint=all", "--lint-fatal", rulesFile)
	promtool(t, "", append([]string{"test", "rules"}, unitTests()...)...)
}

func TestEachAlertIsTestedFiringAndNotFiring(t *testing.T) {
	fires, rests := make(map[string]bool), make(map[string]bool)
	for _, name := range unitTests() {
		var file struct {
			Tests []struct {
				Checks []struct {
					Alert    string `yaml:"alertname"`
					Expected []any  `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
			}
		}
		if err := yaml.Unmarshal([]byte(read(t, packaged+name)), &file); err != nil {
			t.Fatal(err)
		}
		for _, test := range file.Tests {
			for _, c := range test.Checks {
				if len(c.Expected) > 0 {
					fires[c.Alert] = true
				} else {
					rests[c.Alert] = true
				}
			}
		}
	}
	for _, a := range alerts(t) {
		if !fires[a.Alert] || !rests[a.Alert] {
			t.Errorf("%s: tested firing: %v, not firing: %v", a.Alert, fires[a.Alert], rests[a.Alert])
		}
	}
}

func TestEachAlertSaysWhatItsReaderNeeds(t *testing.T) {
	severities := map[string]bool{"critical": true, "warning": true, "info": true}
	sections := runbookSections(t)
	for _, a := range alerts(t) {
		if !severities[a.Labels["severity"]] {
			t.Errorf("%s: severity %q", a.Alert, a.Labels["severity"])
		}
		if s := a.Annotations["summary"]; s == "" || len(s) > 100 {
			t.Errorf("%s: summary %q: one line is what a telephone shows", a.Alert, s)
		}
		if d := a.Annotations["description"]; len(d) < 80 {
			t.Errorf("%s: description %q: what does it mean for whom?", a.Alert, d)
		}
		page, section, _ := strings.Cut(strings.TrimPrefix(a.Annotations["runbook_url"], docs), "#")
		text := sections[section]
		if page != "runbook.md" || text == "" {
			t.Errorf("%s: %s leads nowhere", a.Alert, a.Annotations["runbook_url"])
			continue
		}
		for _, part := range []string{"**Meaning:**", "**Check:**", "**Fix:**"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: its section of the runbook has no %s", a.Alert, part)
			}
		}
	}
}

// runbookSections are the texts below the headings of the third level, by what a link to the
// heading is: lower case, and for one word that is all.
func runbookSections(t *testing.T) map[string]string {
	t.Helper()
	text := read(t, "../../../docs/runbook.md")
	heading := regexp.MustCompile(`(?m)^#{1,3} (.+)$`)
	places := heading.FindAllStringSubmatchIndex(text, -1)
	sections := make(map[string]string)
	for i, p := range places {
		end := len(text)
		if i+1 < len(places) {
			end = places[i+1][0]
		}
		sections[strings.ToLower(text[p[2]:p[3]])] = text[p[1]:end]
	}
	return sections
}

func TestPromtoolAcceptsTheExamples(t *testing.T) {
	promtool(t, "", "check", "config", "--syntax-only", "prometheus.example.yml")
}
