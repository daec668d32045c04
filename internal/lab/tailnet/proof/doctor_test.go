package proof_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/tailnet"
)

// patient is a daemon on a node, to be looked at by "oauth-proxyd doctor".
type patient struct {
	t    *testing.T
	node *tailnet.Node
	dir  string // its configuration and runtime directory
	port string
}

// admit runs a daemon on the node, in front of an upstream that refuses all.
func admit(t *testing.T, node *tailnet.Node) *patient {
	t.Helper()
	p := &patient{t: t, node: node, dir: daemontest.TempDir(t)}
	p.port = freePort(t, node)
	api := serve(t, node, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json") // as the API's
		w.Header().Set("Request-Id", "req_011")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	p.configure(fmt.Sprintf(`proxy {
  listen_addr  = ":%s"
  upstream_url = %q
}
access {
  allow = ["local", "tag:aperture"]
}
header "anthropic-beta" {
  value = "oauth-2025-04-20"
  mode  = "merge"
}
`, p.port, api))
	daemon := p.command("serve", "--config", p.file())
	daemon.Stderr = t.Output()
	daemontest.Start(t, daemon)
	p.await(0)
	return p
}

func freePort(t *testing.T, node *tailnet.Node) string {
	t.Helper()
	l, err := node.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (p *patient) file() string { return filepath.Join(p.dir, "oauth-proxyd.hcl") }

func (p *patient) configure(content string) {
	p.t.Helper()
	if err := os.WriteFile(p.file(), []byte(content), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *patient) command(args ...string) *exec.Cmd {
	c := p.node.Command("oauth-proxyd", args...)
	c.Env = append(c.Env, "RUNTIME_DIRECTORY="+p.dir)
	return c
}

// status is the exit code of "oauth-proxyd status", and what it prints.
func (p *patient) status() (code int, text string) {
	c := p.command("status")
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		p.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// await waits until status has that exit code.
func (p *patient) await(code int) {
	p.t.Helper()
	var text string
	defer func() {
		if p.t.Failed() {
			p.t.Logf("status: %s", text)
		}
	}()
	daemontest.Eventually(p.t, fmt.Sprintf("status exits with %d", code), func() bool {
		var got int
		got, text = p.status()
		return got == code
	})
}

// symptom is a finding of doctor.
type symptom struct {
	Check, Status, Seen string
	Fix                 []string
}

type symptoms []symptom

// look runs doctor.
func (p *patient) look(args ...string) symptoms {
	p.t.Helper()
	return p.lookAs(nil, args...)
}

func (p *patient) lookAs(who *syscall.SysProcAttr, args ...string) symptoms {
	p.t.Helper()
	c := p.command(append([]string{"doctor", "--json", "--config", p.file()}, args...)...)
	if who != nil {
		c.SysProcAttr = who
	}
	out, err := c.Output()
	var report struct{ Findings symptoms }
	if json.Unmarshal(out, &report) != nil {
		p.t.Fatalf("doctor: %v\n%s", err, out)
	}
	return report.Findings
}

// firstFault is the first that is neither ok nor unknown.
func (s symptoms) firstFault() symptom {
	for _, f := range s {
		if f.Status == "fail" || f.Status == "warn" {
			return f
		}
	}
	return symptom{}
}

// want is for the first fault, or for none if check is empty.
func (s symptoms) want(t *testing.T, check, status string, words ...string) {
	t.Helper()
	f := s.firstFault()
	text := f.Seen + "\n" + strings.Join(f.Fix, "\n")
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in %+v", w, f)
		}
	}
	if f.Check != check || f.Status != status {
		t.Errorf("the first fault is %+v, want %s of %q; all: %+v", f, status, check, s)
	}
}

// of gives status and text of all findings of a check.
func (s symptoms) of(check string) string {
	var all strings.Builder
	for _, f := range s {
		if f.Check == check {
			fmt.Fprintf(&all, "%s: %s %s\n", f.Status, f.Seen, strings.Join(f.Fix, " "))
		}
	}
	return all.String()
}

// runGateway is a gateway on a node, which passes on all that it gets to url.
func runGateway(t *testing.T, on *tailnet.Node, url string) string {
	t.Helper()
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, err := http.NewRequestWithContext(r.Context(), r.Method, url+r.URL.RequestURI(), r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		out.Header, out.ContentLength = r.Header.Clone(), r.ContentLength
		response, err := on.Client().Do(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		maps.Copy(w.Header(), response.Header)
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(flusher{w}, response.Body) // the client sees what came
	}))
	t.Cleanup(gateway.Close)
	return gateway.URL
}

// flusher passes on at once.
type flusher struct{ http.ResponseWriter }

// Write is io.Writer's.
func (f flusher) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	_ = http.NewResponseController(f.ResponseWriter).Flush()
	return n, err
}

func TestDoctorAndStatusOfANodeWithoutADevice(t *testing.T) {
	t.Parallel()
	lab := tailnet.Start(t)
	host := lab.Node(tailnet.Spec{Name: "doctor-host"})
	aperture := lab.Node(tailnet.Spec{Name: "aperture", Tags: []string{"tag:aperture"}})
	laptop := lab.Node(tailnet.Spec{Name: "laptop", User: "alice@example.com"})
	p := admit(t, host)
	gateway := runGateway(t, aperture, "http://"+net.JoinHostPort(host.DNSName(), p.port))

	t.Run("all is well", func(t *testing.T) {
		s := p.look("--peer", "aperture", "--through", gateway)
		s.want(t, "", "")
		if got := s.of("gateway"); !strings.Contains(got, "ok:") || !strings.Contains(got, "from "+aperture.DNSName()+" (tag:aperture)") {
			t.Errorf("through the gateway: %s", got)
		}
		if got := s.of("peer"); strings.Count(got, "ok:") != 2 || !strings.Contains(got, aperture.Addr().String()) {
			t.Errorf("the peer: %s", got)
		}
	})
	t.Run("a gateway that access.allow refuses", func(t *testing.T) {
		private := runGateway(t, laptop, "http://"+net.JoinHostPort(host.DNSName(), p.port))
		p.look("--through", private).want(t, "gateway", "fail", laptop.DNSName()+" (alice@example.com)", "was refused", `"tag:aperture", "node:`+laptop.DNSName()+`"`)
	})
	t.Run("a peer that access.allow refuses", func(t *testing.T) {
		p.look("--peer", laptop.Name()).want(t, "peer", "fail", "alice@example.com", `"tag:aperture", "alice@example.com"`)
	})
	t.Run("a policy that forbids", func(t *testing.T) {
		lab.Grant(tailnet.Grant{From: []*tailnet.Node{laptop}})
		defer lab.Grant(tailnet.Grant{})
		waitFor(t, func() bool { return strings.Contains(p.look("--peer", "aperture").of("peer"), "fail:") })
		p.look("--peer", "aperture").want(t, "peer", "fail", "time out", `{"src": ["tag:aperture"], "dst": ["`+host.Addr().String()+`"], "ip": ["tcp:`+p.port+`"]}`)
	})
	t.Run("without the right to see the policy", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Fatal("this needs root, to become another user")
		}
		got := p.lookAs(&syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}, "--peer", "aperture")
		if text := got.of("peer"); !strings.Contains(text, "unknown: whether the packet filter") {
			t.Errorf("the peer: %s", text)
		}
	})
	for _, row := range broken(p) {
		t.Run(row.name, func(t *testing.T) {
			row.breakIt()
			defer func() { row.fixIt(); p.await(0) }()
			if row.waits {
				p.await(1)
			}
			waitFor(t, func() bool { return p.look().firstFault().Check == row.check })
			p.look().want(t, row.check, row.status, row.words...)
			if _, text := p.status(); row.waits && !strings.HasPrefix(text, "degraded: ") {
				t.Errorf("status: %s", text)
			}
		})
	}
}

// breakage is something that is wrong for a while.
type breakage struct {
	name           string
	breakIt, fixIt func()
	waits          bool // for the daemon to be degraded
	check, status  string
	words          []string
}

func broken(p *patient) []breakage {
	n := p.node
	run := func(args ...string) func() { return func() { n.Tailscale(args...) } }
	return []breakage{
		{"tailscale down", n.Down, n.Up, true, "tailscaled", "fail", []string{"Stopped", "tailscale up"}},
		{
			"an expired key", func() { n.SetKeyExpiry(time.Now().Add(-time.Hour)) }, func() { n.SetKeyExpiry(time.Now().Add(1000 * time.Hour)) },
			true, "tailscaled", "fail",
			[]string{"the node key expired", "tailscale up --force-reauth"},
		},
		{
			"a key about to expire", func() { n.SetKeyExpiry(time.Now().Add(50 * time.Hour)) }, func() { n.SetKeyExpiry(time.Now().Add(1000 * time.Hour)) },
			false, "node key", "warn",
			[]string{"expires", "--force-reauth"},
		},
		{"no approval", n.Unapprove, func() { n.Approve(); n.Await("Running") }, true, "tailscaled", "fail", []string{"approve this node"}},
		{"tailscaled killed", n.Kill, func() { n.Run(); n.Await("Running") }, true, "tailscaled", "fail", []string{"systemctl start tailscaled"}},
		{"tailscaled stopped", n.Stop, func() { n.Run(); n.Await("Running") }, true, "tailscaled", "fail", []string{"systemctl start tailscaled"}},
		{"a warning of tailscaled", func() { n.Warn("the moon is full") }, func() { n.Warn() }, false, "tailscaled health", "warn", []string{"the moon is full"}},
		{"shields up", run("set", "--shields-up"), run("set", "--shields-up=false"), false, "shields up", "fail", []string{"--shields-up=false"}},
		{"tailscale serve", run("serve", "--bg", "--http=80", p.port), run("serve", "reset"), false, "serve", "warn", []string{`"proxied"`, "serve --http=80 off"}},
		{"Funnel", run("funnel", "--bg", "--tcp=443", "tcp://127.0.0.1:"+p.port), run("funnel", "reset"), false, "serve", "fail", []string{"whole internet", "funnel --tcp=443 off"}},
	}
}

func TestDoctorOfANodeWithADevice(t *testing.T) {
	t.Parallel()
	if !canTUN(t) {
		return
	}
	lab := tailnet.Start(t)
	host := lab.Node(tailnet.Spec{Name: "doctor-tun", TUN: true})
	lab.Node(tailnet.Spec{Name: "aperture", Tags: []string{"tag:aperture"}, TUN: true})
	p := admit(t, host)
	s := p.look("--peer", "aperture")
	s.want(t, "", "")
	if got := s.of("magicdns"); got != "ok: "+host.DNSName()+" is "+host.Addr().String()+" \n" && !strings.HasPrefix(got, "ok: "+host.DNSName()+" is ") {
		t.Errorf("magicdns: %s", got)
	}
	if got := s.of("tailnet listener"); !strings.HasPrefix(got, "ok: "+net.JoinHostPort(host.Addr().String(), p.port)+" responds") {
		t.Errorf("tailnet listener: %s", got)
	}
	host.Tailscale("set", "--accept-dns=false")
	waitFor(t, func() bool { return p.look().firstFault().Check == "magicdns" })
	p.look().want(t, "magicdns", "warn", "tailscale set --accept-dns=true")
}

// waitFor waits for what tailscaled does some time after it was asked to.
func waitFor(t *testing.T, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(daemontest.Patience)
	for !is() {
		select {
		case <-ticker.C:
		case <-late:
			return // what follows says what is wrong
		}
	}
}
