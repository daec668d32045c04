package main_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/ratelimit"
)

func TestRequestsInFlight(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet, mergeBeta)})
	if code, out, errs := s.command("requests"); code != 0 || out != "no request is in flight\n" || errs != "" {
		t.Errorf("at rest: %d %q %q", code, out, errs)
	}
	wait := background(t, newClient(t), http.MethodPost, s.url()+"/stream?secret", "hello",
		"Authorization", "Bearer sk-ant-oat01-secret", "X-Claude-Code-Session-Id", "the-session")
	u.await(t)
	var out string
	daemontest.Eventually(t, "the event is on its way", func() bool {
		_, out, _ = s.command("requests")
		return strings.Contains(out, "out 35 B")
	})
	want := regexp.MustCompile(`^req_[A-Z2-7]{26}  streaming  age \S+  silent \S+\n` +
		`  POST /stream  in 5 B  out 35 B\n  from local, credential oauth, session the-session\n$`)
	if !want.MatchString(out) {
		t.Errorf("in flight: %q", out)
	}
	_, out, _ = s.command("requests", "--json")
	var listed []map[string]any
	if err := json.Unmarshal([]byte(out), &listed); err != nil || len(listed) != 1 || listed[0]["credential"] != "oauth" || strings.Contains(out, "secret") {
		t.Errorf("--json: %v %s", err, out)
	}
	u.open()
	wait()
}

// fakeDaemon returns a service whose daemon is only an admin socket.
func fakeDaemon(t *testing.T, c admin.Commands) *service {
	t.Helper()
	s := &service{t: t, dir: daemontest.TempDir(t)}
	fake, err := admin.Serve(filepath.Join(s.dir, "admin.sock"), false, c, slog.New(slog.DiscardHandler))
	if err != nil || fake.Publish() != nil {
		t.Fatal("no admin socket:", err)
	}
	t.Cleanup(fake.Close)
	return s
}

// requests and explain say whether a stream carries data. A fake daemon reports what takes minutes.
func TestStreamsThatOnlyPingAreShown(t *testing.T) {
	t.Parallel()
	trace := func(kind string, onlyPings proxy.Millis) proxy.Trace {
		return proxy.Trace{
			RequestID: "req_a", Steps: []proxy.StepTrace{{Phase: "streaming"}}, Duration: 300_000, Silence: 3_000,
			Stream: kind, Events: 12, Pings: 24, OnlyPings: onlyPings,
		}
	}
	all := []proxy.Trace{trace(proxy.StreamEvents, 242_000), trace(proxy.StreamEvents, 20_000), trace(proxy.StreamCompressed, 0)}
	s := fakeDaemon(t, admin.Commands{
		InFlight: func() []proxy.Trace { return all }, Explain: func(string) []proxy.Trace { return all },
	})
	const alive = "12 events, 24 pings, alive, only pings for 4m2s\n"
	const compressed = "compressed: not known whether its events are data or pings\n"
	_, out, errs := s.command("requests")
	if strings.Count(out, "pings") != 3 || !daemontest.ContainsAll(out, []string{"silent 3s\n  " + alive, "silent 3s\n  " + compressed}) {
		t.Errorf("requests: %s %s", out, errs)
	}
	_, out, errs = s.command("explain", "req_a")
	if !daemontest.ContainsAll(out, []string{"  stream    " + alive, "  stream    12 events, 24 pings\n", "  stream    " + compressed}) {
		t.Errorf("explain: %s %s", out, errs)
	}
}

// TestStrangeTraceIsShown: a trace without steps is shown, a size has three digits, and JSON has no
// character that a terminal obeys.
func TestStrangeTraceIsShown(t *testing.T) {
	t.Parallel()
	all := []proxy.Trace{{RequestID: "req_a", Session: "a\u007f\u009b31m\u202e\U000e0041é", Stream: proxy.StreamEvents, Events: 1, BytesIn: 999_700, BytesOut: 999_400}}
	s := fakeDaemon(t, admin.Commands{
		InFlight: func() []proxy.Trace { return all }, Explain: func(string) []proxy.Trace { return all },
	})
	if code, out, errs := s.command("requests"); code != 0 || !strings.HasPrefix(out, "req_a ") || errs != "" {
		t.Errorf("requests: %d %s %s", code, out, errs)
	}
	if code, out, errs := s.command("explain", "req_a"); code != 0 || !daemontest.ContainsAll(out, []string{"in 1 MB, out 999 kB\n", "  1 event, 0 pings\n"}) || errs != "" {
		t.Errorf("explain: %d %s %s", code, out, errs)
	}
	for _, args := range [][]string{{"requests", "--json"}, {"explain", "--json", "req_a"}} {
		_, out, _ := s.command(args...)
		var same []proxy.Trace
		if err := json.Unmarshal([]byte(out), &same); err != nil || same[0].Session != all[0].Session || !strings.Contains(out, `"a\u007f\u009b31m\u202e\udb40\udc41é"`) {
			t.Errorf("%q: %v %q", args, err, out)
		}
	}
}

// Scripts go through lists, also through those of a daemon that has nothing to report.
func TestNoListIsNull(t *testing.T) {
	t.Parallel()
	s := fakeDaemon(t, admin.Commands{
		Status: func() admin.Status { return admin.Status{} }, DryRun: func() admin.ReloadOutcome { return admin.ReloadOutcome{} },
		InFlight: func() []proxy.Trace { return nil }, Explain: func(string) []proxy.Trace { return nil },
		Limits: func() []ratelimit.Account { return nil },
	})
	for _, args := range [][]string{{"requests"}, {"explain", "req_a"}, {"limits"}} {
		if _, out, errs := s.command(append(args, "--json")...); out != "[]\n" {
			t.Errorf("%q: %s %s", args, out, errs)
		}
	}
	if _, out, errs := s.command("reload", "--dry-run", "--json"); !strings.Contains(out, `"changes": []`) {
		t.Errorf("reload: %s %s", out, errs)
	}
	_, out, errs := s.command("status", "--json")
	for _, list := range []string{"addresses", "warnings", "sockets", "waiting", "predecessors"} {
		if !strings.Contains(out, `"`+list+`": []`) {
			t.Errorf("status: no %s in %s %s", list, out, errs)
		}
	}
}

func TestExplainAFailedRequest(t *testing.T) {
	t.Parallel()
	closed := daemontest.Listen(t, "closed")
	closed.Close()
	s := start(t, unit{config: forwarding(closed.URL(), "", withoutTailnet, mergeBeta)})
	failed := get(t, s.url()+"/v1/models")
	id, _ := failed.Object(t)["request_id"].(string)
	code, out, errs := s.command("explain", id)
	if code != 0 || errs != "" || !daemontest.ContainsAll(out, []string{
		id + "  GET /v1/models\n", "result    upstream_connect, status 502, after ", "because   could not connect to 127.0.0.1:",
		"rule      anthropic-beta: added\n", "connecting for ", "attempt 3, after: ", "connection refused",
	}) {
		t.Errorf("explain: %d %s %s", code, out, errs)
	}
	code, out, _ = s.command("explain", "--json", id)
	var traces []struct{ Outcome string }
	if err := json.Unmarshal([]byte(out), &traces); code != 0 || err != nil || len(traces) != 1 || traces[0].Outcome != "upstream_connect" {
		t.Errorf("--json: %d %v %s", code, err, out)
	}
}

func TestExplainUnknownID(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	for _, id := range []string{"req_nobody", "..", "a/b?c&d=e"} {
		code, out, errs := s.command("explain", id)
		if code != 1 || out != "" || !strings.Contains(errs, "hint: older ones are in the log: journalctl -u oauth-proxyd -g "+id) {
			t.Errorf("%d %q %q", code, out, errs)
		}
	}
}

const (
	personHeader = "X-Claude-Gateway-User-Email"
	believePeers = "identity {\n  from = [\"tailnet\"]\n}\n"
)

// After a reload that trusts the gateway, the person that it names is in the log and in the output
// of requests and explain.
func TestPersonBehindGatewayIsShown(t *testing.T) {
	t.Parallel()
	u, d := newUpstream(t), runTailscaled(t, "Running")
	d.Deliver(userPeer)
	config := forwarding(u.URL, "", onTailnet(d, "wait"))
	s := start(t, unit{config: config})
	ask := func(path string) string {
		a := get(t, s.url()+path, personHeader, "carol@example.com")
		_, explained, _ := s.command("explain", a.Header.Get("X-Request-Id"))
		return explained
	}
	if out := ask("/echo"); strings.Contains(out, "carol") || !strings.Contains(out, "identity.from does not name the sender") {
		t.Errorf("before: %s", out)
	}
	s.configure(config + believePeers)
	if code, out, _ := s.command("reload", "--dry-run"); code != 0 || !daemontest.ContainsAll(out, []string{"identity.from", `["tailnet"]`}) {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, _, errs := s.command("reload"); code != 0 {
		t.Fatal(errs)
	}
	if out := ask("/echo?again"); !strings.Contains(out, "for carol@example.com, credential") {
		t.Errorf("after: %s", out)
	}
	s.log.Next(t, `"person":"carol@example.com"`, `"user":"ann@example.com"`)
	wait := background(t, newClient(t), http.MethodPost, s.url()+"/stream", "hello", personHeader, "carol@example.com")
	u.await(t)
	if _, out, _ := s.command("requests"); !strings.Contains(out, "for carol@example.com, credential") {
		t.Errorf("in flight: %s", out)
	}
	u.open()
	wait()
}

// status and requests show who waits for a slot, for how long, and who is next.
func TestWaitingRequestsAreShown(t *testing.T) {
	t.Parallel()
	u, d := newUpstream(t), runTailscaled(t, "Running")
	d.Deliver(userPeer)
	config := forwarding(u.URL, "max_connections = 1\n  max_connections_per_person = 1\n", onTailnet(d, "wait"))
	s := start(t, unit{config: config + believePeers})
	var waits []func() result
	ask := func(person string) {
		waits = append(waits, background(t, newClient(t), http.MethodPost, s.url()+"/stream", "hello", personHeader, person))
	}
	ask("ann@example.com")
	u.await(t)
	for i, person := range []string{"bob@example.com", "ann@example.com", "bob@example.com"} {
		ask(person)
		daemontest.Eventually(t, "the request waits", func() bool {
			_, out, _ := s.command("status", "--json")
			return strings.Contains(out, fmt.Sprintf(`"queued": %d`, i+1))
		})
	}
	_, out, _ := s.command("status")
	shown := regexp.MustCompile(`waiting     bob@example.com 2 \(\S+, next\), ann@example.com 1 \(\S+\)\n`)
	if !shown.MatchString(out) {
		t.Errorf("status: %s", out)
	}
	_, out, _ = s.command("requests")
	want := regexp.MustCompile(`(?s)streaming .*for ann@.*queued for \S+, next  age .*for bob@.*queued for \S+  age .*for ann@.*queued for \S+  age .*for bob@`)
	if !want.MatchString(out) {
		t.Errorf("requests: %s", out)
	}
	u.open()
	for _, wait := range waits {
		wait()
	}
}
