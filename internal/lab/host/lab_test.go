package host_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/host"
)

const (
	service    = "oauth-proxyd.service"
	socketUnit = "oauth-proxyd.socket"
)

// lab is a host with an API on it, for one test.
type lab struct {
	*host.Host
	t   *testing.T
	api *api
}

// boot starts a host of the usual release. The package is not installed.
func boot(t *testing.T, options ...string) *lab {
	t.Helper()
	return bootRelease(t, host.Usual(), options...)
}

func bootRelease(t *testing.T, release host.Release, options ...string) *lab {
	t.Helper()
	image, err := host.OpenImage(t.Context(), release, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	console := daemontest.NewRecord()
	h, err := host.Boot(t.Context(), image, console, options...)
	if err != nil {
		t.Fatalf("%v\n%s", err, console.Text())
	}
	l := &lab{Host: h, t: t}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("%v\n%s", err, console.Text())
		}
	})
	l.api = l.startAPI()
	return l
}

// showJournal logs the journal of a failed test.
func (l *lab) showJournal() {
	if l.t.Failed() {
		out := l.run("sh", "-c", "journalctl --no-pager --output=short-precise | grep -v ' request_id=\\|node-exporter' | tail -60")
		l.t.Logf("the journal:\n%s", out.Stdout)
	}
}

// run runs a command, whatever it comes to. It may be used while the test cleans up.
func (l *lab) run(name string, args ...string) host.Output {
	l.t.Helper()
	out, err := l.Run(contextOf(l.t), name, args...)
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// must runs a command that is to succeed.
func (l *lab) must(name string, args ...string) (stdout string) {
	l.t.Helper()
	out := l.run(name, args...)
	if out.Code != 0 {
		l.t.Fatalf("%s %q: exit %d\n%s%s", name, args, out.Code, out.Stdout, out.Stderr)
	}
	return out.Stdout
}

func (l *lab) copyIn(file string) (inside string) {
	l.t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		l.t.Fatal(err)
	}
	inside = "/var/tmp/" + filepath.Base(file)
	l.write(inside, string(content))
	return inside
}

func (l *lab) read(name string) string {
	l.t.Helper()
	content, err := l.ReadFile(l.t.Context(), name)
	if err != nil {
		l.t.Fatal(err)
	}
	return content
}

func (l *lab) write(name, content string) {
	l.t.Helper()
	if err := l.WriteFile(l.t.Context(), name, []byte(content)); err != nil {
		l.t.Fatal(err)
	}
}

// property is what systemd says of a unit (systemctl show).
func (l *lab) property(unit, name string) string {
	l.t.Helper()
	return strings.TrimSpace(l.must("systemctl", "show", "--property="+name, "--value", unit))
}

func (l *lab) wantProperties(unit string, want map[string]string) {
	l.t.Helper()
	for name, value := range want {
		if got := l.property(unit, name); got != value {
			l.t.Errorf("%s of %s is %q, want %q", name, unit, got, value)
		}
	}
}

func (l *lab) mainPID() int {
	l.t.Helper()
	id, err := strconv.Atoi(l.property(service, "MainPID"))
	if err != nil {
		l.t.Fatal(err)
	}
	return id
}

// log is what the service wrote to the journal, and systemd about it, apart from the line for each
// request.
func (l *lab) log() []host.Record {
	l.t.Helper()
	records, err := l.Journal(contextOf(l.t), "--unit="+service, "--grep=^(?!request )")
	if err != nil {
		l.t.Fatal(err)
	}
	return records
}

// awaitLog waits for an entry whose message has all the words.
func (l *lab) awaitLog(words ...string) host.Record {
	l.t.Helper()
	var found host.Record
	daemontest.Eventually(l.t, "in the journal: "+strings.Join(words, " … "), func() bool {
		records := l.log()
		i := slices.IndexFunc(records, func(r host.Record) bool { return daemontest.ContainsAll(r["MESSAGE"], words) })
		if i >= 0 {
			found = records[i]
		}
		return i >= 0
	})
	return found
}

func (l *lab) wantAll(text string, words ...string) {
	l.t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			l.t.Errorf("%q is not in:\n%s", w, text)
		}
	}
}

// client is one of the host's own programs. Each connects again.
func (l *lab) client() *http.Client {
	transport := &http.Transport{DialContext: l.DialContext, DisableKeepAlives: true, DisableCompression: true}
	l.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: daemontest.Patience}
}

// get is the response of a server on the host.
func (l *lab) get(url string) (status int, body string) {
	l.t.Helper()
	response, err := l.client().Get(url)
	if err != nil {
		l.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
