package main_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

const manual = "../../man/oauth-proxyd.8"

// The manual has exactly the commands and options that the help lists.
func TestManualCommandsAndOptions(t *testing.T) {
	t.Parallel()
	described := map[string][]string{}
	for _, found := range regexp.MustCompile(`(?m)^\.It Cm ([a-z]+)(.*)$`).FindAllStringSubmatch(section(t, "COMMANDS"), -1) {
		options := []string{}
		for _, o := range regexp.MustCompile(`Fl -([a-z-]+)`).FindAllStringSubmatch(found[2], -1) {
			options = append(options, "--"+o[1])
		}
		described[found[1]] = options
	}
	for _, c := range helpCommands(t) {
		got, ok := described[c]
		if want := helpOptions(t, c); !ok || !sameWords(got, want) {
			t.Errorf("%s: the manual says %q (described: %t), the program %q", c, got, ok, want)
		}
		delete(described, c)
	}
	for c := range described {
		t.Errorf("the command %s is described and does not exist", c)
	}
}

// The manual and docs/runbook.md have exactly the exit codes of the sources.
func TestManualExitCodes(t *testing.T) {
	t.Parallel()
	want := inSources(t, `(?m)^\s*[eE]xit[A-Z]\w*\s*= (\d+)`, ".", "../../internal/lifecycle")
	got := submatches(`(?m)^\.It (\d+)$`, section(t, "EXIT STATUS"))
	if !sameWords(got, want) {
		t.Errorf("the manual has the exit codes %q, the sources %q", got, want)
	}
	if got := submatches(`(?m)^\| (\d+) \| `, read(t, "../../docs/runbook.md")); !sameWords(got, want) {
		t.Errorf("docs/runbook.md has the exit codes %q, the sources %q", got, want)
	}
}

func TestManualSignals(t *testing.T) {
	t.Parallel()
	want := inSources(t, `syscall\.(SIG(?:HUP|TERM|INT|QUIT|USR1|USR2|ABRT))\b`, "../../internal/daemon")
	if got := submatches(`(?m)^\.It Dv (\w+)$`, section(t, "SIGNALS")); !sameWords(got, want) {
		t.Errorf("the manual has the signals %q, the sources %q", got, want)
	}
}

// The manual has exactly the variables that the sources read, and those of libraries named here.
func TestManualEnvironment(t *testing.T) {
	t.Parallel()
	want := inSources(t, `(?:[gG]etenv|LookupEnv)\("([A-Z_]+)"\)|Origin: "([A-Z_]+)"`,
		".", "../../internal/admin", "../../internal/daemon", "../../internal/systemd", "../../internal/logging", "../../internal/tailnet", "../../internal/term")
	want = append(want, inSources(t, `"(OAUTH_PROXYD_[A-Z_]+)"`, "../../internal/systemd", "../../internal/daemon")...)
	want = append(want, "WATCHDOG_USEC", "WATCHDOG_PID") // go-systemd
	want = append(want, "SSL_CERT_FILE", "SSL_CERT_DIR") // crypto/x509
	want = append(want, "GOMEMLIMIT", "GOGC")            // the runtime
	var got []string
	for _, names := range submatches(`(?m)^\.It Ev (.*)$`, section(t, "ENVIRONMENT")) {
		got = append(got, strings.Split(names, " , ")...)
	}
	if !sameWords(got, want) {
		t.Errorf("the manual has the variables %q, the sources %q", got, want)
	}
}

// The manual has every metric of the sources, those of a working daemon with their labels, and no
// other.
func TestManualMetrics(t *testing.T) {
	t.Parallel()
	described := map[string][]string{}
	for _, m := range describedMetrics(t) {
		described[m.name] = m.labels
	}
	for name, labels := range shownMetrics(t) {
		if !strings.HasPrefix(name, "proxy_") && !strings.HasPrefix(name, "tailnet_") {
			t.Errorf("%s begins with neither proxy_ nor tailnet_", name)
		}
		got, ok := described[name]
		if !ok || !sameWords(got, labels) {
			t.Errorf("%s: the manual has the labels %q (described: %t), the daemon %q", name, got, ok, labels)
		}
	}
	packages := []string{"../../internal/proxy", "../../internal/ratelimit", "../../internal/daemon"}
	for _, name := range inSources(t, `"((?:proxy|tailnet)_\w+)",\s+(?:Help: )?"[A-Z0-9]`, packages...) {
		if _, ok := described[name]; !ok {
			t.Errorf("%s is not described", name)
		}
	}
	named := inSources(t, `"((?:proxy|tailnet)_\w+)"`, packages...)
	for name := range described {
		if !slices.Contains(named, name) {
			t.Errorf("%s is described and does not exist", name)
		}
	}
}

// describedMetric is an entry of METRICS.
type describedMetric struct {
	name           string
	labels, values []string // values are those that it names for its labels
}

func describedMetrics(t *testing.T) (all []describedMetric) {
	t.Helper()
	list, _, _ := strings.Cut(section(t, "METRICS"), "\n.El\n")
	for _, entry := range strings.Split(list, "\n.It Va ")[1:] {
		head, text, _ := strings.Cut(entry, "\n")
		name, labels, _ := strings.Cut(head, " ")
		m := describedMetric{name: name, labels: submatches(`Va (\w+)`, labels)}
		for _, words := range submatches(`(?m)^(?:\.Li|\.Pq Li) (.*)$`, text) {
			m.values = append(m.values, submatches(`(\w+)`, words)...)
		}
		all = append(all, m)
	}
	return all
}

// The manual has exactly the states that a daemon can report.
func TestManualStates(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding(newUpstream(t).URL, "", withoutTailnet)})
	want := submatches(`proxy_state\{state="([a-z-]+)"\}`, get(t, s.url()+"/metrics").Body)
	_, after, _ := strings.Cut(section(t, "REQUESTS"), "\n.It Li state\n")
	text, _, _ := strings.Cut(after, "\n.It ")
	got := submatches(`(\S{2,})`, strings.Join(submatches(`(?m)^\.Li (.*)$`, text), " "))
	if !sameWords(got, want) {
		t.Errorf("the manual has the states %q, the daemon %q", got, want)
	}
}

// shownMetrics returns the metrics of a daemon that has served a request, with their labels,
// without those of Go and of the process.
func shownMetrics(t *testing.T) map[string][]string {
	t.Helper()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet, mergeBeta)})
	get(t, s.url()+"/v1/models")
	text := ""
	daemontest.Eventually(t, "the request is counted", func() bool {
		text = get(t, s.url()+"/metrics").Body
		return strings.Contains(text, "\nproxy_requests_total{")
	})
	shown := map[string][]string{}
	for _, name := range submatches(`(?m)^# TYPE (\w+) `, text) {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		labels := []string{}
		series := regexp.MustCompile(`(?m)^` + name + `(?:_bucket|_sum)?\{(.*)\} `).FindStringSubmatch(text)
		if series != nil {
			labels = slices.DeleteFunc(submatches(`(\w+)="`, series[1]), func(l string) bool { return l == "le" })
		}
		shown[name] = labels
	}
	if len(shown) < 20 {
		t.Fatalf("few metrics: %q", slices.Sorted(maps.Keys(shown)))
	}
	return shown
}

// The manual has every field of a request's log line, and no field that the sources do not name.
func TestManualLogFields(t *testing.T) {
	t.Parallel()
	d := runTailscaled(t, "Running")
	d.Deliver(userPeer)
	s := start(t, unit{config: forwarding(newUpstream(t).URL, "", onTailnet(d, "wait"), mergeBeta, believePeers)})
	get(t, s.url()+"/echo", "X-Claude-Code-Session-Id", "s",
		"User-Agent", "claude-cli/2.1.332", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", personHeader, "ann").Want(t, 200)
	var logged map[string]any
	if err := json.Unmarshal([]byte(s.log.Next(t, `"request_id"`)), &logged); err != nil {
		t.Fatal(err)
	}
	described := submatches(`(\w+)`, strings.Join(submatches(`(?m)^\.It Va (.*)$`, section(t, "LOG")), " "))
	for key := range logged {
		name := strings.ToUpper(key)
		of := func(field string) bool { return field == name || field == "HTTP_"+name || field == "TS_"+name }
		if !slices.Contains([]string{"time", "level", "msg"}, key) && !slices.ContainsFunc(described, of) {
			t.Errorf("%s is logged, and not described", key)
		}
	}
	named := inSources(t, `"([a-z_]+)"`, "../../internal/*")
	for _, field := range described {
		key := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(field, "HTTP_"), "TS_"), "_MS"))
		if !slices.Contains(named, key) {
			t.Errorf("%s is described, and no source names it", field)
		}
	}
}

// section returns the text of a section of the manual.
func section(t *testing.T, name string) string {
	t.Helper()
	_, after, found := strings.Cut(read(t, manual), "\n.Sh "+name+"\n")
	if !found {
		t.Fatalf("%s has no section %s", manual, name)
	}
	text, _, _ := strings.Cut(after, "\n.Sh ")
	return text
}

// inSources returns what a pattern finds in the sources of packages, without tests.
func inSources(t *testing.T, pattern string, dirs ...string) []string {
	t.Helper()
	var found []string
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no sources in %s: %v", dir, err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				found = append(found, submatches(pattern, read(t, file))...)
			}
		}
	}
	return found
}

// submatches returns what the groups of a pattern match, each text once.
func submatches(pattern, text string) []string {
	all := []string{}
	for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		for _, word := range found[1:] {
			if word != "" && !slices.Contains(all, word) {
				all = append(all, word)
			}
		}
	}
	return all
}

// sameWords compares without order and repetition.
func sameWords(a, b []string) bool {
	set := func(words []string) []string { return slices.Compact(slices.Sorted(slices.Values(words))) }
	return slices.Equal(set(a), set(b))
}
