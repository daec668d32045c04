package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/faketailscaled"
)

// wantStatus wants status to exit with code, and to print a first line and other lines.
func (s *service) wantStatus(code int, first string, lines ...string) {
	s.t.Helper()
	got, out, errs := s.command("status")
	if got != code || errs != "" {
		s.t.Errorf("exit code %d, want %d; %s", got, code, errs)
	}
	if !strings.HasPrefix(out, first) {
		s.t.Errorf("it begins %q, want %q", out, first)
	}
	if flat := strings.Join(strings.Fields(out), " "); !daemontest.ContainsAll(flat, lines) {
		s.t.Errorf("not all of %q in\n%s", lines, out)
	}
	if strings.Contains(out, "\x1b") {
		s.t.Error("colour where there is no terminal")
	}
}

func TestStatusFitsTheTerminal(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	shown := exec.CommandContext(t.Context(), "script", "--quiet", "--return", "--log-out", "/dev/null", "--command",
		"stty columns 60; oauth-proxyd status")
	shown.Env = append(s.environment(), "TERM=xterm")
	out, err := shown.Output()
	if err != nil || !strings.HasPrefix(string(out), "\x1b[32mhealthy\x1b[0m: ") || !strings.Contains(string(out), "\r\n            the start, 0 failed, 0 refused") {
		t.Errorf("%v\n%q", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > 60 && !strings.Contains(line, "\x1b") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// A fix is one line on any terminal, so that a command can be copied.
func TestOutcomesHaveColours(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	for command, want := range map[string][]string{
		"doctor":   {"\x1b[32mok       \x1b[0mconfig ", "\x1b[33mwarn     \x1b[0mheader rules ", "\x1b[31;1mFAIL     \x1b[0mupstream tcp ", "-> \x1b[0mproxy.upstream_url in " + s.file() + ": is the upstream running there, and is this its port? Or does a firewall here or on the path refuse it? (nft list ruleset)\r\n"},
		"selftest": {"\x1b[32mok    \x1b[0mcurl with an API key", "\x1b[31;1mFAIL  \x1b[0mSDK with an OAuth token"},
	} {
		x := s.onTerminal(80, 24, "", command, "--config", s.file())
		code := x.Exit(t)
		<-x.read
		if code != 1 || !daemontest.ContainsAll(x.Text(), want) {
			t.Errorf("%s: %d\n%q", command, code, x.Text())
		}
	}
}

func TestStatusHealthy(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", onTailnet(runTailscaled(t, "Running"), "wait"))})
	get(t, s.url()+"/echo").Want(t, 200)
	s.awaitHealth(t, "in_flight", 0)
	s.wantStatus(0, "healthy: serving, tailnet connected as box.tail.ts.net\n",
		"socket proxy, "+s.unit.sockets[0].Addr(), "connected, Running, box.tail.ts.net, 100.64.0.7",
		"0 of 1000 in flight, 0 of 1000 queued; 1 since the start, 0 failed, 0 refused",
		"errors none of 1 request in 1m; none of 1 request in 5m; none of 1 request in 60m",
		u.URL+", direct, 1 connection, last response", "(200)", "none since the start", "oauth-proxyd v0.0.0-test, tailscaled 1.102.5")
}

func TestStatusJSON(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "max_connections = 7", onTailnet(runTailscaled(t, "Running"), "wait"))})
	code, out, _ := s.command("status", "--json")
	var got struct {
		Status, State, Version string
		PID                    int
		Tailnet                struct {
			Status, Name string
			Addresses    []string
			BackendState string  `json:"backend_state"`
			KeyExpiresAt *string `json:"key_expires_at"`
			Version      string
		}
		Sockets  []struct{ Name, Network, Address string }
		Requests struct {
			InFlightLimit int `json:"in_flight_limit"`
		}
		Upstream   struct{ URL string }
		LastReload *struct{ OK bool } `json:"last_reload"`
		Warnings   []string
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatalf("%d %v %s", code, err, out)
	}
	if got.Status != "healthy" || got.State != "running" || got.Version != "v0.0.0-test" || got.PID != s.process.PID {
		t.Errorf("status: %s", out)
	}
	if n := got.Tailnet; n.Status != "connected" || n.Name != "box.tail.ts.net" || n.BackendState != "Running" || n.Version != "1.102.5" || len(n.Addresses) != 1 {
		t.Errorf("tailnet: %s", out)
	}
	if len(got.Sockets) != 1 || got.Sockets[0].Name != "proxy" || got.Sockets[0].Address != s.unit.sockets[0].Addr() {
		t.Errorf("sockets: %s", out)
	}
	if got.Requests.InFlightLimit != 7 || got.Upstream.URL != "http://127.0.0.1:9" || got.LastReload != nil || got.Warnings == nil {
		t.Errorf("the rest: %s", out)
	}
}

func TestStatusOfALostTailnet(t *testing.T) {
	t.Parallel()
	d := runTailscaled(t, "NeedsLogin")
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", onTailnet(d, "wait"))})
	s.wantStatus(1, "degraded: the tailnet is not connected: tailscaled is in state NeedsLogin",
		"run `tailscale login` on this host", "log in at "+faketailscaled.LoginURL, "tailnet not connected, NeedsLogin")
	code, out, _ := s.command("status", "--json")
	if code != 1 || !daemontest.ContainsAll(out, []string{`"status": "degraded"`, faketailscaled.LoginURL, "tailscale login"}) {
		t.Errorf("--json: %d %s", code, out)
	}
	d.Become("Running")
	s.notes.Next(t, "tailnet connected")
	s.wantStatus(0, "healthy: ")
}

func TestStatusWarnsOfKeyExpiry(t *testing.T) {
	t.Parallel()
	d := newTailscaled(t)
	d.SetStatus(`{"Version":"1.102.5","TUN":true,"BackendState":"Running","TailscaleIPs":["100.64.0.7"],
		"Self":{"DNSName":"box.tail.ts.net.","KeyExpiry":"` + time.Now().Add(50*time.Hour).UTC().Format(time.RFC3339) + `"},"Health":[]}`)
	d.run(t)
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", onTailnet(d, "wait"))})
	s.wantStatus(0, "healthy: serving, with 1 warning\n", "warning the node key expires at ", "tailscale up --force-reauth")
}

func TestStatusAfterReload(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	s.wantStatus(0, "healthy: serving, tailnet not required\n", "tailnet not required")
	if code, _, errs := s.command("reload"); code != 0 {
		t.Fatal(errs)
	}
	s.wantStatus(0, "healthy: ", "ago, nothing changed")
	s.configure(forwarding("http://127.0.0.1:9", `idle_timeout = "2m"`, withoutTailnet))
	s.command("reload")
	s.wantStatus(0, "healthy: ", "ago, changed proxy.idle_timeout")
	s.configure("nonsense")
	s.command("reload")
	s.wantStatus(0, "healthy: serving, with 1 warning\n", "the last reload was refused", "oauth-proxyd check --config "+s.file(), "ago, refused")
	line := s.notes.Next(t, "STATUS=Serving", "the last reload was refused") // for every local user
	if strings.Contains(line, "nonsense") || !daemontest.ContainsAll(line, []string{"tailnet not required; the last reload"}) {
		t.Errorf("got %q", line)
	}
}

func TestStatusWhileDraining(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, `drain_timeout = "1m"`, withoutTailnet)})
	await := background(t, newClient(t), http.MethodGet, s.url()+"/wait", "")
	u.await(t)
	s.signal(syscall.SIGTERM)
	s.notes.Next(t, "STOPPING=1")
	s.wantStatus(1, "draining: no new requests; finishing open requests\n", "1 of 1000 in flight")
	u.open()
	await()
	s.exit()
}

func TestStatusNeedsDaemonAndPermission(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	code, out, errs := s.commandAsNobody("status")
	if code != 77 || out != "" || !strings.Contains(errs, "group oauth-proxyd") {
		t.Errorf("as nobody: %d %q %q", code, out, errs)
	}
	s.stop()
	code, out, errs = s.command("status", "--json")
	if code != 69 || out != "" || !strings.Contains(errs, "oauth-proxyd is not running") {
		t.Errorf("not running: %d %q %q", code, out, errs)
	}
}

// What a proxy on the path sends is a failure, and is described as it is. JSON of a 200 is not:
// the upstream may be another gateway, which sends no request-id.
func TestStatusOfOthersResponses(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, want, errors string
		respond            http.HandlerFunc
	}{
		{"a refusal without a page", "healthy, but no message has succeeded for ", "errors without request-id 100% of 3 requests in 1m", page(407, "text/html", "")},
		{"a refusal with a page", "healthy, but no message has succeeded for ", "407 Proxy Authentication Required with a web page (3 in a row)", page(407, "text/html", "<html>")},
		{"JSON", "healthy: serving, tailnet not required\n", "none of 3 requests in 1m", page(200, "application/json", `{"id":"msg_1"}`)},
	} {
		s := start(t, unit{config: forwarding(serving(t, row.respond), "", withoutTailnet)})
		for range 3 {
			background(t, newClient(t), http.MethodPost, s.url()+"/v1/messages", "{}")()
		}
		s.wantStatus(0, row.want, row.errors)
		_, out, _ := s.command("status", "--json")
		if succeeded := strings.Contains(out, `"last_success"`); succeeded != (row.name == "JSON") {
			t.Errorf("%s: succeeded is %v", row.name, succeeded)
		}
	}
}

// The first line says whether requests succeed, which /health does not.
func TestStatusSaysThatRequestsFail(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "retry {\n    attempts = 1\n  }", withoutTailnet)})
	s.wantStatus(0, "healthy: serving, tailnet not required\n", "no response yet")
	get(t, s.url()+"/echo").Want(t, 502)
	s.wantStatus(0, "healthy, but the last request failed: upstream_connect: could not connect to 127.0.0.1:9: ", "connection refused; run `oauth-proxyd doctor`")
	for range 4 {
		get(t, s.url()+"/echo").Want(t, 502)
	}
	s.wantStatus(0, "healthy, but no request has succeeded for ", "connection refused (5 in a row)", "the last of 5 in a row: upstream_connect: could not connect to 127.0.0.1:9")
	code, out, _ := s.command("status", "--json")
	if code != 0 || !daemontest.ContainsAll(out, []string{`"failing": "no request has succeeded`, `"in_a_row": 5`, "run `oauth-proxyd doctor`"}) {
		t.Errorf("--json: %d %s", code, out)
	}
	u := newUpstream(t)
	s.configure(forwarding(u.URL, "", withoutTailnet))
	s.command("reload")
	get(t, s.url()+"/echo").Want(t, 200)
	s.wantStatus(0, "healthy: serving, tailnet not required\n", "since then requests have succeeded: upstream_connect: could not connect to")
	for range 3 {
		get(t, s.url()+"/nowhere").Want(t, 404)
	}
	s.wantStatus(0, "healthy, but no request has succeeded for ", "the upstream responded 404 Not Found for GET /nowhere (3 in a row)", "ago (404)")
}

func TestStatusShowsSlowest(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	get(t, s.url()+"/echo").Want(t, 200)
	wait := background(t, newClient(t), http.MethodGet, s.url()+"/wait", "")
	u.await(t)
	s.awaitHealth(t, "in_flight", 1)
	id := s.inFlight()[0]
	s.wantStatus(0, "healthy: ", "slowest "+id+", waiting, silent for ")
	u.open()
	wait()
}

// inFlight returns the IDs of the requests in flight.
func (s *service) inFlight() []string {
	s.t.Helper()
	_, out, _ := s.command("requests", "--json")
	var listed []struct {
		ID string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(out), &listed); err != nil {
		s.t.Fatalf("%v in %s", err, out)
	}
	ids := make([]string, len(listed))
	for i, r := range listed {
		ids[i] = r.ID
	}
	return ids
}

// ExecStopPost= of the unit writes how the previous process ended.
func TestStatusSaysHowTheLastProcessEnded(t *testing.T) {
	t.Parallel()
	dir := daemontest.TempDir(t)
	u := unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet), env: []string{"STATE_DIRECTORY=" + dir}}
	for left, want := range map[string]string{
		"signal KILL": "restarted the previous process ended: killed (signal KILL); see `journalctl", "oom-kill KILL": "ended: killed, out of memory",
		"watchdog ABRT": "ended: killed by systemd's watchdog", "success 0": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, "last-end"), []byte(left+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := start(t, u)
		s.wantStatus(0, "healthy: serving, tailnet not required\n", want)
		if _, out, _ := s.command("status"); want == "" && strings.Contains(out, "restarted") {
			t.Errorf("after %s: %s", left, out)
		}
		if _, err := os.Stat(filepath.Join(dir, "last-end")); err == nil {
			t.Error("it would be said of the next process too")
		}
		s.stop()
	}
}

func TestSocketOptionNamesTheDaemon(t *testing.T) {
	t.Parallel()
	one := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	other := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	socket := filepath.Join(other.dir, "admin.sock")
	for _, args := range [][]string{{"status"}, {"requests"}, {"reload", "--dry-run"}} {
		if code, out, errs := one.command(append(args, "--socket", socket)...); code != 0 {
			t.Errorf("%v: %d %s%s", args, code, out, errs)
		}
	}
	_, out, _ := one.command("status", "--socket", socket)
	if !strings.Contains(out, fmt.Sprintf("process     %d, up 0s, on %s", other.process.PID, socket)) {
		t.Errorf("of the other:\n%s", out)
	}
	code, _, errs := one.command("status", "--socket", socket+"x")
	if code != 69 || !strings.Contains(errs, "is not "+socket+"x\n") || !strings.Contains(errs, "name the admin socket of a running one with --socket") {
		t.Errorf("no socket: %d %s", code, errs)
	}
}

func TestStatusWarnsOfTextfileAndListener(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet,
		"metrics {\n  textfile = \"/proc/none/x.prom\"\n}\n",
		"header \"x-a\" {\n  value = \"1\"\n  when {\n    listener = \"batsh\"\n  }\n}\n")})
	s.log.Next(t, "metrics.textfile cannot be written")
	textfile := "metrics.textfile cannot be written: /proc/none/x.prom: "
	listener := `header "x-a": no socket is named "batsh" (when { listener }), so the rule never applies; the names are: proxy`
	s.wantStatus(0, "healthy: serving, with 2 warnings\n", "warning "+textfile, "warning "+listener)
	if _, _, errs := s.command("reload"); !strings.Contains(errs, listener) {
		t.Errorf("reload: %s", errs)
	}
}

func TestStatusCountsRefusals(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, `max_request_body = "1KiB"`, withoutTailnet, "access {\n  allow = [\"192.0.2.1\"]\n}\n")})
	for range 3 {
		get(t, s.url()+"/echo").Want(t, 403)
	}
	s.wantStatus(0, "healthy: serving, with 1 warning\n", "warning all 3 requests of the last 5 minutes were refused, because access.allow does not list the sender",
		"0 since the start, 0 failed, 3 refused", "none of 0 requests in 1m")
	s.configure(forwarding(u.URL, `max_request_body = "1KiB"`, withoutTailnet))
	s.command("reload")
	for range 3 {
		background(t, newClient(t), http.MethodPost, s.url()+"/echo", strings.Repeat("x", 2000))().Want(t, 413)
	}
	s.wantStatus(0, "healthy, but no request has succeeded for ", "request_too_large: ", "(3 in a row); raise proxy.max_request_body",
		"3 since the start, 3 failed, 3 refused", "errors request_too_large 100% of 3 requests in 1m")
	get(t, s.url()+"/echo").Want(t, 200)
	s.wantStatus(0, "healthy: serving, tailnet not required\n", "request_too_large 75% of 4 requests in 1m")
}

func TestStatusWarnsOfALostLog(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { full.Close() })
	s := start(t, unit{stderr: full, config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	s.wantStatus(0, "healthy: serving, with 1 warning\n", "warning the log cannot be written, and ", "records are lost; see `systemctl status systemd-journald`")
}

// The issuer of an untrusted certificate names the proxy that inspects TLS.
func TestStatusNamesTheIssuer(t *testing.T) {
	t.Parallel()
	u := httptest.NewTLSServer(http.NotFoundHandler())
	u.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(u.Close)
	s := start(t, unit{config: forwarding(u.URL, "retry {\n    attempts = 1\n  }", withoutTailnet)})
	get(t, s.url()+"/echo").Want(t, 502)
	const issuer = `certificate signed by unknown authority (issued by "O=Acme Co")`
	s.wantStatus(0, "healthy, but the last request failed: ", issuer)
	s.log.Next(t, `"outcome":"upstream_connect"`, `(issued by \"O=Acme Co\")`)
}
