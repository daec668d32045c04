package monitoring_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
)

// prometheus is Debian's, with the packaged rules, and asks often.
type prometheus struct {
	url  string
	http *http.Client
}

// The folder under test.
const packaged = "../../../packaging/monitoring/"

// startPrometheus scrapes the daemon, and a node_exporter that reads its textfile.
func startPrometheus(t *testing.T, d *daemon) *prometheus {
	t.Helper()
	exporter := listening(t, exec.Command("prometheus-node-exporter", "--web.listen-address=127.0.0.1:0",
		"--collector.disable-defaults", "--collector.textfile", "--collector.textfile.directory="+d.textfiles(t)))
	rules, err := filepath.Abs(packaged + "oauth-proxyd.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	dir := daemontest.TempDir(t)
	write(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`
global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}
rule_files: [%s]
scrape_configs:
  - job_name: oauth-proxyd
    static_configs: [{targets: [%s]}]
  - job_name: node
    static_configs: [{targets: [%s]}]
`, rules, strings.TrimPrefix(d.url, "http://"), exporter))
	cmd := exec.Command("prometheus", "--web.listen-address=127.0.0.1:0",
		"--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"))
	cmd.Dir = dir
	p := &prometheus{
		url:  "http://" + listening(t, cmd),
		http: &http.Client{Transport: &http.Transport{}, Timeout: daemontest.Patience},
	}
	t.Cleanup(p.http.CloseIdleConnections)
	daemontest.Eventually(t, "Prometheus is ready and has both targets", func() bool {
		s, err := p.query(`up == 1`)
		return err == nil && len(s) == 2
	})
	return p
}

// listening starts a program and returns the address that it says it listens on.
func listening(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	_, address, _ := strings.Cut(run(t, cmd).Next(t, `msg="Listening on"`, "address="), "address=")
	address, _, _ = strings.Cut(address, " ")
	return address
}

// sample is a series and its value now.
type sample struct {
	labels map[string]string
	value  float64
}

// query evaluates an expression now.
func (p *prometheus) query(expr string) ([]sample, error) {
	var data struct {
		ResultType string
		Result     []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	if err := p.ask("/api/v1/query?"+url.Values{"query": {expr}}.Encode(), &data); err != nil {
		return nil, err
	}
	if data.ResultType != "vector" {
		return nil, fmt.Errorf("a %s, not a vector", data.ResultType)
	}
	samples := make([]sample, len(data.Result))
	for i, r := range data.Result {
		text, _ := r.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("reading a value: %w", err)
		}
		samples[i] = sample{r.Metric, value}
	}
	return samples, nil
}

// points counts what a graph of the last minutes would show.
func (p *prometheus) points(expr string) (n int, err error) {
	now := time.Now()
	var data struct{ Result []struct{ Values [][2]any } }
	err = p.ask("/api/v1/query_range?"+url.Values{
		"query": {expr}, "start": {stamp(now.Add(-2 * time.Minute))}, "end": {stamp(now)}, "step": {"1s"},
	}.Encode(), &data)
	for _, series := range data.Result {
		n += len(series.Values)
	}
	return n, err
}

func stamp(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// ask decodes the data of a response of the HTTP API, or its error.
func (p *prometheus) ask(path string, data any) error {
	response, err := p.http.Get(p.url + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	result := struct {
		Status, Error string
		Warnings      []string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&result); err != nil {
		return fmt.Errorf("reading the response to %s: %w", path, err)
	}
	if result.Status != "success" || len(result.Warnings) > 0 {
		return fmt.Errorf("%s: %s %v", result.Status, result.Error, result.Warnings)
	}
	return nil
}

// promtool runs it in the folder of the rules, and wants it to be content.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Dir = packaged
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	} else if stdin != "" && len(out) > 0 {
		t.Errorf("promtool %s objects:\n%s", strings.Join(args, " "), out)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
