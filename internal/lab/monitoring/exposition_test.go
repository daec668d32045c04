package monitoring_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

const openMetrics = "application/openmetrics-text; version=1.0.0"

// readFamilies is for Prometheus's client library for Python, whose parser of OpenMetrics refuses
// what the standard forbids: a family that is declared twice, a series that is there twice, a
// counter that is not called _total, a text without an end.
const readFamilies = `
import importlib, sys
parser = importlib.import_module(sys.argv[1])
for family in parser.text_string_to_metric_families(sys.stdin.read()):
    print(family.name, family.type, len(family.samples))
`

// counted is the last request of client.work.
const counted = `proxy_requests_total{method="POST",status="529"} 1`

func TestOtherParsersReadTheExposition(t *testing.T) {
	d := startDaemon(t)
	c := newClient(t, d.url)
	c.work()
	c.waitFor(counted)
	text := c.exposition("text/plain")
	promtool(t, text, "check", "metrics")
	inText := parsed(t, "prometheus_client.parser", text)
	inOpenMetrics := parsed(t, "prometheus_client.openmetrics.parser", c.exposition(openMetrics))
	if !slices.Equal(inText, inOpenMetrics) {
		t.Errorf("the formats differ; in text:\n%s\nin OpenMetrics:\n%s", strings.Join(inText, "\n"), strings.Join(inOpenMetrics, "\n"))
	}

	file := filepath.Join(d.textfiles(t), "oauth-proxyd.prom")
	daemontest.Eventually(t, "the textfile has the requests", func() bool {
		return strings.Contains(read(t, file), counted)
	})
	promtool(t, read(t, file), "check", "metrics")
	ours := slices.DeleteFunc(slices.Clone(inText), func(family string) bool {
		return strings.HasPrefix(family, "go_") || strings.HasPrefix(family, "process_")
	})
	if inFile := parsed(t, "prometheus_client.parser", read(t, file)); !slices.Equal(ours, inFile) {
		t.Errorf("of our families\n%s\nthe textfile has\n%s", strings.Join(ours, "\n"), strings.Join(inFile, "\n"))
	}
}

// parsed returns each family's name, its type and the number of its samples. It starts Debian's
// python3, which has the packaged library; another one in the PATH does not.
func parsed(t *testing.T, parser, exposition string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", readFamilies, parser)
	cmd.Stdin = strings.NewReader(exposition)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", parser, err, out)
	}
	families := strings.Split(strings.TrimSpace(string(out)), "\n")
	if !slices.Contains(families, "proxy_requests_in_flight gauge 1") {
		t.Errorf("%s: proxy_requests_in_flight is missing:\n%s", parser, out)
	}
	slices.Sort(families)
	return families
}
