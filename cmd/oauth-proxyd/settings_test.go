package main_test

import (
	"bufio"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
)

// The packages test what the settings do; these tests prove that each setting reaches its package.

func TestRuleModesAndConditions(t *testing.T) {
	t.Parallel()
	u := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 8 {
			fmt.Fprintf(w, "%d=%q ", i, r.Header.Values(fmt.Sprintf("X-Rule-%d", i)))
		}
	}))
	t.Cleanup(u.Close)
	var rules strings.Builder
	for i, rest := range []string{
		`mode = "set"`, `mode = "merge"`, `mode = "default"`, `mode = "remove"`,
		`when { bearer_prefix = "sk-ant-oat" }`, `when { path_prefix = "/v1/" }`,
		`when { user_agent_prefix = "claude-cli/" }`, `when { listener = "other" }`,
	} {
		value := `value = "ours"`
		if strings.Contains(rest, "remove") {
			value = ""
		}
		rules.WriteString(fmt.Sprintf("header \"x-rule-%d\" {\n  %s\n  %s\n}\n", i, value, rest))
	}
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet, rules.String())})
	var header []string
	for i := range 8 {
		header = append(header, fmt.Sprintf("X-Rule-%d", i), "theirs")
	}
	unmet := append(header, "Authorization", "Bearer sk-ant-api", "User-Agent", "curl/8")
	get(t, s.url()+"/v2/", unmet...).Want(t, 200, `0=["ours"] 1=["theirs,ours"] 2=["theirs"] 3=[] `+
		`4=["theirs"] 5=["theirs"] 6=["theirs"] 7=["theirs"]`)
	met := append(header, "Authorization", "Bearer sk-ant-oat01", "User-Agent", "claude-cli/2")
	get(t, s.url()+"/v1/", met...).Want(t, 200, `4=["ours"] 5=["ours"] 6=["ours"] 7=["theirs"]`)
	get(t, s.url()+"/").Want(t, 200, `0=["ours"] 1=["ours"] 2=["ours"] 3=[]`)
}

const (
	userPeer = `{"Node":{"StableID":"nUSER1CNTRL","Name":"laptop.tail.ts.net."},
		"UserProfile":{"LoginName":"ann@example.com"},"CapMap":{"example.com/cap/ai":null}}`
	taggedPeer = `{"Node":{"StableID":"nTAG1CNTRL","Name":"ai.tail.ts.net.","Tags":["tag:aperture"]},
		"UserProfile":{"LoginName":"tagged-devices"}}`
)

func TestAccessEntries(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	for _, row := range []struct {
		peer, allow string
		status      int
	}{
		{userPeer, "tailnet", 200},
		{userPeer, "ann@example.com", 200},
		{userPeer, "bob@example.com", 403},
		{userPeer, "node:nUSER1CNTRL", 200},
		{userPeer, "node:laptop.tail.ts.net", 200},
		{userPeer, "node:ai.tail.ts.net", 403},
		{userPeer, "cap:example.com/cap/ai", 200},
		{userPeer, "cap:example.com/cap/other", 403},
		{userPeer, "tag:aperture", 403},
		{userPeer, "local", 403},
		{taggedPeer, "tag:aperture", 200},
		{taggedPeer, "tag:other", 403},
		{"", "local", 200},
		{"", "tailnet", 403},
		{"", "127.0.0.0/8", 200},
		{"", "10.0.0.0/8", 403},
	} {
		t.Run(row.peer[:min(30, len(row.peer))]+" "+row.allow, func(t *testing.T) {
			t.Parallel()
			d := runTailscaled(t, "Running")
			d.Deliver(row.peer)
			s := start(t, unit{config: forwarding(u.URL, "", onTailnet(d, "wait"),
				fmt.Sprintf("access {\n  allow = [%q]\n}\n", row.allow))})
			get(t, s.url()+"/echo").Want(t, row.status)
		})
	}
}

func TestUnknownPeerIsUnavailable(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	d := runTailscaled(t, "Running")
	d.Deliver(userPeer)
	s := start(t, unit{config: forwarding(u.URL, "", onTailnet(d, "wait"))})
	d.Hang()
	get(t, s.url()+"/echo").Want(t, 503, `"error_code":"tailnet_unavailable"`)
}

func TestIdentityInTheLog(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	for identity, words := range map[string][]string{
		"full":   {`"node":"laptop.tail.ts.net"`, `"user":"ann@example.com"`},
		"hashed": {`"node":"`, `"user":"`},
		"none":   nil,
	} {
		t.Run(identity, func(t *testing.T) {
			t.Parallel()
			d := runTailscaled(t, "Running")
			d.Deliver(userPeer)
			s := start(t, unit{config: forwarding(u.URL, "", onTailnet(d, "wait"),
				fmt.Sprintf("log {\n  identity = %q\n}\n", identity))})
			get(t, s.url()+"/echo").Want(t, 200)
			line := s.log.Next(t, append(words, `"outcome":`, `"source":"tailnet"`)...)
			if identity != "full" && (strings.Contains(line, "laptop") || strings.Contains(line, "ann@")) {
				t.Errorf("the log names the peer: %s", line)
			}
			if identity == "none" && strings.Contains(line, `"node"`) {
				t.Errorf("the log has something for the peer: %s", line)
			}
		})
	}
}

func TestTimeoutsAndLimits(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	for _, row := range []struct {
		name, setting, code string
		status              int
		busy                bool // one request is in flight
		body                string
	}{
		{"response header", `response_header_timeout = "50ms"`, "upstream_header_timeout", 504, false, ""},
		{"requests", "max_connections = 1\n  queue_limit = 0", "overloaded", 503, true, ""},
		{"requests of a client", "max_connections_per_person = 1\n  queue_limit = 0", "overloaded", 503, true, ""},
		{"queue timeout", "max_connections = 1\n  queue_timeout = \"50ms\"", "overloaded", 503, true, ""},
		{"body", `max_request_body = "10B"`, "request_too_large", 413, false, "more than ten bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, unit{config: forwarding(u.URL, row.setting, withoutTailnet)})
			if row.busy {
				background(t, newClient(t), "GET", s.url()+"/stream", "")
				s.awaitHealth(t, "in_flight", 1)
			}
			a, err := daemontest.Ask(newClient(t), "POST", s.url()+"/wait", row.body)
			if err != nil {
				t.Fatal(err)
			}
			a.Want(t, row.status, `"error_code":"`+row.code+`"`)
		})
	}
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, `idle_timeout = "50ms"`, withoutTailnet)})
	stream := u.openStream(t, newClient(t), s.url())
	stream.wantCut(t, `"error_code":"upstream_idle_timeout"`)
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	closed := daemontest.Listen(t, "closed")
	closed.Close()
	s := start(t, unit{config: forwarding(closed.URL(), "retry {\n    attempts = 2\n    backoff = \"1ms\"\n  }", withoutTailnet)})
	get(t, s.url()+"/").Want(t, 502)
	s.log.Next(t, `"outcome":`, `"attempts":2`)
}

func TestUpstreamCAFile(t *testing.T) {
	t.Parallel()
	u := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto)
	}))
	u.EnableHTTP2 = true
	u.StartTLS()
	t.Cleanup(u.Close)
	file := certificateFile(t, u)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	get(t, s.url()+"/").Want(t, 502, `"error_code":"upstream_connect"`)
	s.configure(forwarding(u.URL, fmt.Sprintf("upstream_ca_file = %q", file), withoutTailnet))
	if code, _, errs := s.command("reload"); code != 0 {
		t.Fatal(errs)
	}
	get(t, s.url()+"/").Want(t, 200, "HTTP/2.0")
}

// If one certificate of a file cannot be used, check, status and the log name it, and the others
// are used.
func TestUnusableCertificateIsNamed(t *testing.T) {
	t.Parallel()
	u := httptest.NewTLSServer(http.HandlerFunc(echo))
	t.Cleanup(u.Close)
	file := certificateFile(t, u)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	if err := os.WriteFile(file, append([]byte(bad), good...), 0o644); err != nil {
		t.Fatal(err)
	}
	s := start(t, unit{config: forwarding(u.URL, fmt.Sprintf("upstream_ca_file = %q", file), withoutTailnet)})
	const named = "proxy.upstream_ca_file: certificate 1 of 2, line 1: not used: malformed certificate"
	s.log.Next(t, `"level":"WARN"`, named)
	get(t, s.url()+"/echo").Want(t, 200, "GET /echo")
	s.wantStatus(0, "healthy: serving, with 1 warning\n", "certificate 1 of 2")
	for _, args := range [][]string{{"check", "--config", s.file()}, {"reload"}, {"reload", "--dry-run"}} {
		if code, _, errs := s.command(args...); code != 0 || errs != "warning: "+named+"\n" {
			t.Errorf("%v: exit code %d, %q", args, code, errs)
		}
	}
	if code, out, _ := s.command("reload", "--json"); code != 0 || !strings.Contains(out, named) {
		t.Errorf("reload --json: exit code %d, %s", code, out)
	}
	if err := os.WriteFile(file, []byte(bad), 0o644); err != nil {
		t.Fatal(err)
	}
	s.wantRefusal("no usable certificate", "holds no certificate that can be used")
	get(t, s.url()+"/echo").Want(t, 200, "GET /echo")
}

// certificateFile writes the certificate of a server to a file.
func certificateFile(t *testing.T, u *httptest.Server) (path string) {
	t.Helper()
	path = filepath.Join(daemontest.TempDir(t), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: u.Certificate().Raw}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSystemCertificatesFromEnvironment(t *testing.T) {
	t.Parallel()
	u := httptest.NewTLSServer(http.HandlerFunc(echo))
	t.Cleanup(u.Close)
	s := start(t, unit{
		config: forwarding(u.URL, "", withoutTailnet),
		env:    []string{"SSL_CERT_FILE=" + certificateFile(t, u)},
	})
	get(t, s.url()+"/echo").Want(t, 200, "GET /echo")
}

func TestUpstreamProxy(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	asked := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		line, _ := bufio.NewReader(c).ReadString('\n') // what came is compared
		asked <- line
	}()
	s := start(t, unit{config: forwarding("https://127.0.0.1:9",
		fmt.Sprintf("upstream_proxy = [\"http://%s\", \"http://127.0.0.1:9\"]\n  retry {\n    attempts = 1\n  }", l.Addr()), withoutTailnet)})
	get(t, s.url()+"/").Want(t, 502, `"error_code":"upstream_connect"`)
	select {
	case line := <-asked:
		if line != "CONNECT 127.0.0.1:9 HTTP/1.1\r\n" {
			t.Errorf("the proxy was asked %q", line)
		}
	case <-time.After(daemontest.Patience):
		t.Error("the proxy was not asked")
	}
}
