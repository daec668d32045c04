package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

func TestMetricsAfterRequests(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", onTailnet(runTailscaled(t, "Running"), "wait"), mergeBeta)})
	c := newClient(t)
	for _, method := range []string{"GET", "POST", "BREW"} {
		if _, err := daemontest.Ask(c, method, s.url()+"/echo", ""); err != nil {
			t.Fatal(err)
		}
	}
	s.awaitMetrics(t,
		"\n# TYPE proxy_requests_total counter\n",
		`proxy_requests_total{method="GET",status="200"} 1`,
		`proxy_requests_total{method="POST",status="200"} 1`,
		`proxy_requests_total{method="other",status="200"} 1`,
		"\n# TYPE proxy_request_duration_seconds histogram\n",
		`proxy_request_duration_seconds_bucket{status="200",le="0.05"} `,
		`proxy_request_duration_seconds_bucket{status="200",le="1800"} 3`,
		`proxy_request_duration_seconds_bucket{status="200",le="+Inf"} 3`,
		`proxy_request_duration_seconds_count{status="200"} 3`,
		`proxy_request_duration_seconds_sum{status="200"} `,
		`proxy_upstream_errors_total{error_type="timeout"} 0`,
		`proxy_upstream_errors_total{error_type="connection"} 0`,
		`proxy_upstream_errors_total{error_type="invalid_request"} 0`,
		`proxy_upstream_errors_total{error_type="response_read"} 0`,
		`proxy_upstream_errors_total{error_type="internal"} 0`,
		"\ntailnet_connected 1\n",
		"\nproxy_requests_in_flight 0\n", "\nproxy_requests_queued 0\n",
		`proxy_build_info{goversion="go1.`, `version="v0.0.0-test"} 1`,
		`proxy_state{state="running"} 1`, `proxy_state{state="draining"} 0`,
		"\nproxy_config_last_reload_successful 1\n", "\nproxy_config_last_reload_success_timestamp_seconds ",
		`proxy_header_rule_total{header="anthropic-beta",result="added"} 3`,
		"\ngo_goroutines ", "\nprocess_open_fds ",
	)
}

// awaitMetrics waits for metrics that are counted at the end of a response, after the client has
// the last byte.
func (s *service) awaitMetrics(t *testing.T, lines ...string) {
	t.Helper()
	var missing string
	defer func() {
		if t.Failed() {
			t.Logf("the metrics lack %q", missing)
		}
	}()
	daemontest.Eventually(t, "counted", func() bool {
		text := get(t, s.url()+"/metrics").Body
		i := slices.IndexFunc(lines, func(line string) bool { return !strings.Contains(text, line) })
		if i >= 0 {
			missing = lines[i]
		}
		return i < 0
	})
}

// The manual is the contract: from the start, each metric has a series for each value of its labels
// in the manual, except "other".
func TestMetricsExistFromTheStart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(daemontest.TempDir(t), "oauth-proxyd.prom")
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet, mergeBeta,
		"metrics {\n  textfile = \""+file+"\"\n  textfile_interval = \"100ms\"\n}\n")})
	daemontest.Eventually(t, "written while it runs", func() bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(text), `{state="running"} 1`)
	})
	for from, text := range map[string]string{"/metrics": get(t, s.url()+"/metrics").Body, "the textfile": read(t, file)} {
		for _, m := range describedMetrics(t) {
			m.wantIn(t, from, text)
		}
	}
}

func (m describedMetric) wantIn(t *testing.T, from, text string) {
	t.Helper()
	help := regexp.MustCompile(`(?m)^# HELP ` + m.name + ` \S`)
	kind := regexp.MustCompile(`(?m)^# TYPE ` + m.name + ` (counter|gauge|histogram)$`)
	series := strings.Join(regexp.MustCompile(`(?m)^`+m.name+`(_count|_bucket)?(\{.*\})? \S+$`).FindAllString(text, -1), "\n")
	if !help.MatchString(text) || !kind.MatchString(text) || series == "" {
		t.Errorf("%s lacks the help, the type or a series of %s", from, m.name)
	}
	if strings.HasSuffix(m.name, "_total") != strings.Contains(text, "# TYPE "+m.name+" counter\n") {
		t.Errorf("%s: %s ends in _total and is no counter, or the reverse", from, m.name)
	}
	for _, value := range m.values {
		if value != "other" && !strings.Contains(series, `="`+value+`"`) {
			t.Errorf("%s: %s has no series for %s", from, m.name, value)
		}
	}
	for _, result := range regexp.MustCompile(`result="(\w+)"`).FindAllStringSubmatch(series, -1) {
		if !slices.Contains(m.values, result[1]) {
			t.Errorf("%s: %s has a result %s that the manual does not list", from, m.name, result[1])
		}
	}
}

// In OpenMetrics, the family of a counter has no _total, so two names that differ in the text
// format can collide.
func TestMetricsAreDeclaredOnce(t *testing.T) {
	t.Parallel()
	const openMetrics = "application/openmetrics-text; version=1.0.0"
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet, mergeBeta)})
	for accept, want := range map[string]string{
		"":                                     "text/plain; version=0.0.4; ",
		"*/*":                                  "text/plain; version=0.0.4; ",
		"application/vnd.google.protobuf":      "text/plain; version=0.0.4; ",
		openMetrics:                            openMetrics + "; ",
		openMetrics + ", text/plain;q=0.5":     openMetrics + "; ",
		"application/openmetrics-text":         "application/openmetrics-text; version=0.0.1; ",
		"text/plain, " + openMetrics + ";q=.1": "text/plain; version=0.0.4; ",
	} {
		a := get(t, s.url()+"/metrics", "Accept", accept)
		if format := a.Header.Get("Content-Type"); !strings.HasPrefix(format, want) {
			t.Errorf("Accept: %s: %s, want %s", accept, format, want)
		}
		if ended := strings.HasSuffix(a.Body, "\n# EOF\n"); ended != strings.HasPrefix(want, "application/") {
			t.Errorf("Accept: %s: the end mark is there: %v", accept, ended)
		}
		wantEachOnce(t, accept, a.Body)
	}
}

// wantEachOnce wants one type and one help text for each family, and each series once.
func wantEachOnce(t *testing.T, what, exposition string) {
	t.Helper()
	seen := make(map[string]bool)
	for line := range strings.Lines(exposition) {
		fields := strings.Fields(line)
		name := strings.Join(fields[:len(fields)-1], " ") // a series without its value
		if fields[0] == "#" {
			name = strings.Join(fields[:min(3, len(fields))], " ")
		}
		if seen[name] {
			t.Errorf("%s: %s is there twice", what, name)
		}
		seen[name] = true
	}
	if len(seen) < 100 {
		t.Errorf("%s: only %d lines", what, len(seen))
	}
}

func TestErrorsAreCounted(t *testing.T) {
	t.Parallel()
	closed := daemontest.Listen(t, "closed")
	closed.Close()
	s := start(t, unit{config: forwarding(closed.URL(), "", withoutTailnet)})
	get(t, s.url()+"/x").Want(t, 502, `"error_code":"upstream_connect"`)
	get(t, s.url()+"/metrics").Want(t, 200,
		`proxy_upstream_errors_total{error_type="connection"} 1`,
		`proxy_errors_total{code="upstream_connect"} 1`,
		`proxy_requests_total{method="GET",status="502"} 1`)
	get(t, s.url()+"/health").Want(t, 200, `"errors_total": 1`)
}

func TestTextfileIsWrittenAtomically(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	dir := daemontest.TempDir(t)
	file := filepath.Join(dir, "oauth-proxyd.prom")
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet,
		"metrics {\n  textfile = \""+file+"\"\n  textfile_interval = \"1h\"\n}\n")})
	daemontest.Eventually(t, "written", func() bool { _, err := os.Stat(file); return err == nil })
	for _, line := range []string{
		`proxy_requests_total{method="GET",status="200"} 0`, "proxy_requests_in_flight 0", "proxy_config_last_reload_successful 1",
	} {
		if text := read(t, file); !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("at the start it lacks %q: %s", line, text)
		}
	}
	get(t, s.url()+"/echo").Want(t, 200)
	s.stop()
	text := read(t, file)
	if !strings.Contains(text, `proxy_requests_total{method="GET",status="200"} 1`) {
		t.Error("what came after the last writing is lost")
	}
	if strings.Contains(text, "go_goroutines") || strings.Contains(text, "process_") {
		t.Error("it repeats what node_exporter says of itself")
	}
	if !strings.HasSuffix(text, "\n") {
		t.Error("its last line is not whole")
	}
	wantEachOnce(t, "the textfile", text)
	wantOnly(t, dir, "oauth-proxyd.prom", 0o644)
}

func TestUnwritableTextfileIsLogged(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet,
		"metrics {\n  textfile = \"/proc/none/x.prom\"\n}\n")})
	s.log.Next(t, "textfile", "/proc/none/x.prom")
	get(t, s.url()+"/echo").Want(t, 200)
	get(t, s.url()+"/metrics").Want(t, 200, "\nproxy_textfile_last_write_successful 0\n")
}

func TestTextfileRecovers(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	dir := filepath.Join(daemontest.TempDir(t), "absent")
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet,
		"metrics {\n  textfile = \""+filepath.Join(dir, "x.prom")+"\"\n  textfile_interval = \"100ms\"\n}\n")})
	s.log.Next(t, "metrics.textfile cannot be written", "no such file or directory")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.log.Next(t, "metrics.textfile is written again")
	get(t, s.url()+"/metrics").Want(t, 200, "\nproxy_textfile_last_write_successful 1\n")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	s.log.Next(t, "metrics.textfile cannot be written")
	s.stop() // writes once more, in vain
	if n := strings.Count(s.log.Text(), "cannot be written"); n != 2 {
		t.Errorf("two failures were logged %d times", n)
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

// wantOnly wants a folder to have only that file, and no part of one.
func wantOnly(t *testing.T, dir, name string, mode os.FileMode) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != name {
		t.Fatalf("the folder holds %v", entries)
	}
	if info, err := entries[0].Info(); err != nil || info.Mode().Perm() != mode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// The metrics, the log and explain name the same trace, so a slow request can be followed.
func TestTraceIsInLogAndExemplars(t *testing.T) {
	t.Parallel()
	const trace = "0af7651916cd43dd8448eb211c80319c"
	s := start(t, unit{config: forwarding(newUpstream(t).URL, "", withoutTailnet)})
	id := get(t, s.url()+"/echo", "Traceparent", "00-"+trace+"-b7ad6b7169203331-01").Header.Get("X-Request-Id")
	s.log.Next(t, `"trace_id":"`+trace+`"`)
	if _, out, _ := s.command("explain", id); !strings.Contains(out, "  trace     "+trace+"\n") {
		t.Errorf("explain: %s", out)
	}
	exemplar := ` # {trace_id="` + trace + `"} `
	text := get(t, s.url()+"/metrics", "Accept", "application/openmetrics-text; version=1.0.0").Body
	for _, histogram := range []string{`proxy_request_duration_seconds_bucket{status="200",`, "proxy_time_to_first_byte_seconds_bucket{"} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(histogram) + `.*` + regexp.QuoteMeta(exemplar)).MatchString(text) {
			t.Errorf("no exemplar in %s", histogram)
		}
	}
	if text := get(t, s.url()+"/metrics").Body; strings.Contains(text, trace) {
		t.Error("the text format has an exemplar")
	}
}
