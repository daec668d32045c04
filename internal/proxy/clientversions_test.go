package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestClientIsNamedInLog(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}))
	for i, row := range []struct {
		agent, want string
	}{
		{"claude-cli/2.1.332 (external, cli)", "claude-cli 2.1.332"},
		{"claude-cli/2.1.332-dev.1 (external, sdk-ts, agent-sdk/0.1.5)", "claude-cli 2.1.332"},
		{"Anthropic/JS 1.14.0", "Anthropic/JS 1.14.0"},
		{"AsyncAnthropic/Python 0.75.0", "Anthropic/Python 0.75.0"},
		{"Anthropic/Go 2.15.0", "Anthropic/Go 2.15.0"},
		{"AnthropicClientImpl/Java 2.10.0", "Anthropic/Java 2.10.0"},
		{"AnthropicClient/C# 12.0.0", "Anthropic/C# 12.0.0"},
		{"AsyncOpenAI/Python 2.1.0", ""},
		{"Anthropic/Python 0.76.0rc1", "Anthropic/Python 0.76.0"},
		{"claude-cli/2.1.332-ann.of.example.com", "claude-cli 2.1.332"},
		{"claude-cli/" + strings.Repeat("1", 30), ""},
		{"claude-cli/PLANTED", ""},
		{"claude-cli/", ""},
		{"Anthropic/COBOL 1.0", ""},
		{"Anthropic/JS", ""},
		{"curl/8.0", ""},
	} {
		r := request(t, http.MethodGet, d.url("/"), nil)
		r.Header.Set("User-Agent", row.agent)
		do(t, newClient(t), r)
		line := d.log.requests(t, i+1)[i]
		if has := strings.Contains(line, `"client":"`+row.want+`"`); row.want != "" && !has || row.want == "" && strings.Contains(line, `"client"`) {
			t.Errorf("%q: want %q in %s", row.agent, row.want, line)
		}
	}
}

// agents is a proxy in a bubble whose upstream refuses some clients.
type agents struct {
	*bubble
	conn    *rawConn
	reg     *prometheus.Registry
	refused map[string]int // status by client; 0: the connection breaks; -1: the response is cut; or:
	header  string         // of the responses
}

const (
	errorStream = -3
	webPage     = -4
)

func openAgents(t *testing.T) *agents {
	a := &agents{reg: prometheus.NewRegistry(), refused: map[string]int{}, header: "Request-Id: req_1\r\n"}
	a.bubble = openBubble(t, "http", nil, func(c net.Conn) {
		in := bufio.NewReader(c)
		for r, _ := readRequest(in); r != nil; r, _ = readRequest(in) {
			status := 200
			if s, ok := a.refused[r.UserAgent()]; ok {
				status = s
			}
			switch status {
			case 0:
				return
			case -1:
				_, _ = io.WriteString(c, "HTTP/1.1 200 X\r\n"+a.header+"Content-Length: 2\r\n\r\n1")
				return
			case errorStream:
				event := "event: error\ndata: {}\n\n"
				_, _ = fmt.Fprintf(c, "HTTP/1.1 200 X\r\n%sContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%s", a.header, len(event), event)
				continue
			case webPage:
				body := "<html>"
				if r.Method == http.MethodHead {
					body = ""
				}
				_, _ = fmt.Fprintf(c, "HTTP/1.1 200 X\r\n%sContent-Type: Text/HTML; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s", a.header, len(body), body)
				continue
			}
			_, _ = fmt.Fprintf(c, "HTTP/1.1 %d X\r\n%sContent-Length: 2\r\n\r\n{}", status, a.header)
		}
	}, func(s *setup) { s.Registerer = a.reg })
	a.dial(t)
	return a
}

// send has each of the clients send n requests, one a second.
func (a *agents) send(t *testing.T, n int, clients ...string) {
	t.Helper()
	for range n {
		for _, agent := range clients {
			a.sendOne(t, "POST /v1/messages", agent, "")
		}
		time.Sleep(time.Second)
	}
}

func (a *agents) sendOne(t *testing.T, target, agent, session string) {
	t.Helper()
	_, _ = fmt.Fprintf(a.conn, "%s HTTP/1.1\r\nHost: h\r\nUser-Agent: %s\r\nX-Claude-Code-Session-Id: %s\r\n\r\n", target, agent, session)
	response, err := http.ReadResponse(a.conn.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.Close {
		a.dial(t)
	}
	synctest.Wait()
}

func (a *agents) dial(t *testing.T) {
	c := a.door.dial()
	t.Cleanup(func() { c.Close() })
	a.conn = &rawConn{c, bufio.NewReader(c)}
}

func (a *agents) wantWarning(t *testing.T, when, want string) {
	t.Helper()
	got := strings.Join(a.Warnings(time.Now()), "|")
	if want == "" && strings.Contains(got, " since ") || !strings.Contains(got, want) {
		t.Errorf("%s: it warns %q, want %q", when, got, want)
	}
}

const (
	oldCLI = "claude-cli/2.1.275 (external, cli)"
	newCLI = "claude-cli/2.1.332 (external, cli)"
	curl   = "curl/8.0"
)

// A version of the client that breaks is named within a minute, and as soon as it works again no
// longer.
func TestBrokenClientVersionIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := openAgents(t)
		a.send(t, 30, oldCLI, newCLI, curl)
		a.refused[oldCLI] = 400
		a.send(t, 1, oldCLI)
		delete(a.refused, oldCLI)
		a.send(t, 90, oldCLI, newCLI)
		a.wantWarning(t, "all work", "")
		since := time.Now().Format("15:04")
		a.refused[oldCLI] = 400
		a.send(t, 4, oldCLI, newCLI)
		a.wantWarning(t, "four are refused", "")
		a.send(t, 10, oldCLI, newCLI)
		a.wantWarning(t, "seconds later", "400s since "+since+" with claude-cli 2.1.275 only, not with claude-cli 2.1.332; ")
		a.send(t, 120, oldCLI, newCLI)
		a.wantWarning(t, "two minutes later", "400s since "+since+" with claude-cli 2.1.275 only")
		delete(a.refused, oldCLI)
		a.send(t, 1, oldCLI)
		a.wantWarning(t, "it works again", "")
		a.refused[oldCLI] = 400
		a.send(t, 10, oldCLI)
		time.Sleep(11 * time.Minute)
		a.wantWarning(t, "nobody uses it any more", "")
	})
}

// A warning says about other clients only what was seen.
func TestWarningSaysWhatOthersDo(t *testing.T) {
	for name, row := range map[string]struct {
		refused map[string]int
		send    []string
		want    string
	}{
		"nobody else":         {map[string]int{oldCLI: 400}, []string{oldCLI}, "400s since 00:00 with claude-cli 2.1.275; see the log"},
		"every client":        {map[string]int{oldCLI: 400, newCLI: 400}, []string{oldCLI, newCLI}, "with claude-cli 2.1.275 and claude-cli 2.1.332; see the log"},
		"two of three":        {map[string]int{oldCLI: 404, newCLI: 404}, []string{oldCLI, newCLI, curl}, "with claude-cli 2.1.275 and claude-cli 2.1.332 only, not with other clients; "},
		"another program":     {map[string]int{curl: 400}, []string{newCLI, curl}, "with other clients only, not with claude-cli 2.1.332; use another version there"},
		"a login expired":     {map[string]int{oldCLI: 401}, []string{oldCLI, newCLI}, ""},
		"a limit is reached":  {map[string]int{oldCLI: 429}, []string{oldCLI, newCLI}, ""},
		"the API fails":       {map[string]int{oldCLI: 529, newCLI: 500}, []string{oldCLI, newCLI}, ""},
		"it fails one client": {map[string]int{oldCLI: 500}, []string{oldCLI, newCLI}, ""},
		"few requests failed": {map[string]int{oldCLI: 400}, []string{newCLI, newCLI, newCLI}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := openAgents(t)
				maps.Copy(a.refused, row.refused)
				a.send(t, 12, row.send...)
				a.wantWarning(t, name, row.want)
			})
		})
	}
}

// A version is blamed for messages that its sessions cannot send, and for nothing else.
func TestVersionIsBlamedForMessagesOnly(t *testing.T) {
	type step struct {
		target, agent, session string
		status                 int
	}
	const message, blamed = "POST /v1/messages?beta=true", "with claude-cli 2.1.275 only, not with claude-cli 2.1.332; "
	works := step{message, newCLI, "c", 200}
	for name, row := range map[string]struct {
		steps []step // in turn
		want  string
	}{
		"its other requests work": {[]step{
			{message, oldCLI, "a", 400},
			{"HEAD /", oldCLI, "a", 200},
			{message, oldCLI, "b", 400},
			{"POST /v1/messages/count_tokens", oldCLI, "b", 200},
			works,
		}, blamed},
		"another session works":    {[]step{{message, oldCLI, "a", 400}, {message, oldCLI, "b", 200}, works}, ""},
		"one session fails":        {[]step{{message, oldCLI, "a", 400}, works}, ""},
		"prompts are too large":    {[]step{{message, oldCLI, "a", 413}, {message, oldCLI, "b", 413}, works}, ""},
		"no credit is left":        {[]step{{message, oldCLI, "a", 402}, {message, oldCLI, "b", 402}, works}, ""},
		"other paths do not exist": {[]step{{"GET /v1/x", oldCLI, "a", 404}, {"GET /v1/x", oldCLI, "b", 404}, works}, ""},
		"no other sent a message": {
			[]step{{message, oldCLI, "a", 400}, {message, oldCLI, "b", 400}, {"GET /v1/models", newCLI, "c", 200}},
			"with claude-cli 2.1.275; see the log",
		},
		"the daemon refuses": {[]step{{message + " HTTP/1.0\r\nTransfer-Encoding: chunked\r\nX:", oldCLI, "", 200}, works}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := openAgents(t)
				for range 6 {
					for _, s := range row.steps {
						a.refused[s.agent] = s.status
						a.sendOne(t, s.target, s.agent, s.session)
					}
					time.Sleep(time.Second)
				}
				a.wantWarning(t, name, row.want)
			})
		})
	}
}

// series are the clients that have series, sorted, and how many series there are.
func (a *agents) series(t *testing.T) (names []string, n int) {
	t.Helper()
	families, err := a.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "proxy_client_requests_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			n++
			for _, l := range m.GetLabel() {
				if l.GetName() == "client" && !slices.Contains(names, l.GetValue()) {
					names = append(names, l.GetValue())
				}
			}
		}
	}
	return names, n
}

// Hostile clients cannot make series, and a new version gets its own.
func TestClientSeriesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := openAgents(t)
		version := func(patch int) string { return fmt.Sprintf("claude-cli/2.1.%d (external, cli)", patch) }
		for patch := range 8 {
			a.send(t, 1, version(10+patch))
		}
		a.send(t, 1, version(9), "Anthropic/JS 1.14.0", curl)
		want := []string{"claude-cli 2.1.10", "claude-cli 2.1.11", "claude-cli 2.1.12", "claude-cli 2.1.13", "claude-cli 2.1.14", "claude-cli 2.1.15", "claude-cli 2.1.16", "claude-cli 2.1.17", "other"}
		if got, n := a.series(t); !slices.Equal(got, want) || n != 9*4 {
			t.Errorf("an old version, a ninth program and an unknown one: %q, %d series", got, n)
		}
		a.send(t, 1, version(100))
		if got, _ := a.series(t); slices.Contains(got, "claude-cli 2.1.10") || !slices.Contains(got, "claude-cli 2.1.100") {
			t.Errorf("a new version: %q", got)
		}
		seen := map[string]bool{}
		for patch := range 650 {
			a.send(t, 1, version(1000+patch))
			got, n := a.series(t)
			if n != 9*4 {
				t.Fatalf("%d series: %q", n, got)
			}
			for _, name := range got {
				seen[name] = true
			}
		}
		if len(seen) > 9+8+2 {
			t.Errorf("in 11 minutes 650 invented versions made %d names", len(seen))
		}
		for range 61 {
			time.Sleep(time.Minute) // the connection must not be idle too long
			a.send(t, 1, curl)
		}
		a.send(t, 1, "Anthropic/JS 1.14.0")
		if got, _ := a.series(t); !slices.Contains(got, "Anthropic/JS 1.14.0") {
			t.Errorf("the others are silent, and it has no series: %q", got)
		}
	})
}

func TestClientClassesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := openAgents(t)
		a.send(t, 2, newCLI)
		a.refused[newCLI] = 529
		a.send(t, 3, newCLI, curl)
		for series, want := range map[string]float64{
			`proxy_client_requests_total{class="2xx",client="claude-cli 2.1.332"}`: 2,
			`proxy_client_requests_total{class="5xx",client="claude-cli 2.1.332"}`: 3,
			`proxy_client_requests_total{class="4xx",client="claude-cli 2.1.332"}`: 0,
			`proxy_client_requests_total{class="2xx",client="other"}`:              3,
		} {
			if got := metric(t, a.reg, series); got != want {
				t.Errorf("%s is %v, want %v", series, got, want)
			}
		}
	})
}
