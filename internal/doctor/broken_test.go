package doctor_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/doctor"
)

func TestHealthyHost(t *testing.T) {
	w := newWorld(t)
	w.peer = "ai"
	w.allow(`"local", "tailnet", "node:ai", "node:laptop.tail.ts.net", "node:n3", "tag:aperture"`)
	r := w.examine()
	if f, found := firstFault(r); found || !r.OK {
		t.Errorf("a fault without a cause: %+v", f)
	}
	for _, check := range []string{
		"config", "sockets", "daemon", "tailscaled", "node key", "shields up", "serve", "tailnet listener",
		"peer", "access", "header rules", "egress", "upstream tcp", "upstream http",
	} {
		if f := find(r, check); f.Status != doctor.OK {
			t.Errorf("%s is %q: %q", check, f.Status, f.Seen)
		}
	}
	if f := find(r, "magicdns"); f.Status != doctor.Unknown { // no device, no DNS here
		t.Errorf("magicdns is %q: %q", f.Status, f.Seen)
	}
}

// breakage breaks one thing, and has the finding that doctor must report first.
type breakage struct {
	name   string
	broken func(*world)
	check  string
	status doctor.Status
	words  []string
}

// brokenConfigs breaks the configuration, or what is active of it.
func brokenConfigs() []breakage {
	return []breakage{
		{
			"a mistake in the configuration", func(w *world) { w.replace("upstream_url", "upstrem_url") },
			"config", doctor.Fail,
			[]string{"test.hcl:3:3", `did you mean "upstream_url"?`, "oauth-proxyd check --config test.hcl"},
		},
		{"a configuration that was not reloaded", func(w *world) {
			w.dryRun.Changes = []config.Change{{Path: "proxy.idle_timeout"}, {Path: "log.level"}}
		}, "config", doctor.Warn, []string{"has not applied its configuration file\noauth-proxyd reload --dry-run   # shows what would change"}},
		{"the daemon's own file is bad", func(w *world) {
			w.dryRun.Diagnostics = []config.Diagnostic{{File: "other.hcl", Line: 3, Column: 1, Summary: "no such block"}}
		}, "config", doctor.Warn, []string{"has not applied its configuration file\noauth-proxyd reload --dry-run"}},
	}
}

// brokenSockets has something else on the daemon's port, or nothing.
func brokenSockets() []breakage {
	return []breakage{
		{
			"no daemon", func(w *world) { w.status, w.health = nil, nil },
			"sockets", doctor.Fail,
			[]string{"nothing listens", "oauth-proxyd serve --config test.hcl"},
		},
		{
			"another program has the port", func(w *world) {
				w.status, w.health = nil, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }
			},
			"sockets", doctor.Fail,
			[]string{"another program", "ss -ltnp", "listen_addr = "},
		},
		{
			"another program has a port of loopback", func(w *world) {
				w.status, w.health = nil, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }
				w.replace(`= ":`, `= "127.0.0.1:`)
			},
			"sockets", doctor.Fail,
			[]string{`listen_addr = "127.0.0.1:PORT"`},
		},
	}
}

// brokenDaemons breaks the daemon.
func brokenDaemons() []breakage {
	return []breakage{
		{
			"the daemon hangs", func(w *world) { w.health = hang },
			"sockets", doctor.Fail,
			[]string{"does not respond", "kill 4711"},
		},
		{
			"the daemon cannot be asked, and has another port", func(w *world) {
				w.status, w.health = nil, nil
				w.serve("unix", filepath.Join(w.dir, "admin.sock"), http.HandlerFunc(hang))
			},
			"daemon", doctor.Fail,
			[]string{"did not respond in time", fmt.Sprintf("kill %d", os.Getpid())},
		},
		{
			"the admin socket is gone", func(w *world) { w.status = nil },
			"daemon", doctor.Fail,
			[]string{"responds on its port, but nothing listens on the admin socket", "--socket FILE", "kill -HUP PID"},
		},
		{
			"the directory of the admin socket is gone", func(w *world) { w.status, w.tailscaled, w.dir = nil, nil, filepath.Join(w.dir, "gone") },
			"daemon", doctor.Fail,
			[]string{"nothing listens on the admin socket", "\nmkdir -p /", "/gone\nkill -HUP PID"},
		},
		{
			"a file has the name of the admin socket", func(w *world) {
				w.status = nil
				if err := os.WriteFile(filepath.Join(w.dir, "admin.sock"), nil, 0o600); err != nil {
					w.t.Fatal(err)
				}
			},
			"daemon", doctor.Fail,
			[]string{"nothing listens on the admin socket", "kill -HUP PID"},
		},
		{
			"the daemon waits for tailscaled", func(w *world) { w.status.State, w.status.Sockets, w.health = "connecting_tailnet", nil, nil },
			"daemon", doctor.Warn,
			[]string{"4711 does not serve yet"},
		},
		{"the daemon drains", func(w *world) { w.status.Status = "draining" }, "daemon", doctor.Warn, []string{"4711 is draining"}},
		{
			"the last reload was refused", func(w *world) {
				w.status.Warnings = []string{"the last reload was refused: test.hcl: bad; run `oauth-proxyd check`, then `oauth-proxyd reload`"}
			},
			"daemon", doctor.Warn,
			[]string{"test.hcl: bad; run `oauth-proxyd check`, then `oauth-proxyd reload`"},
		},
		{
			"the textfile cannot be written", func(w *world) {
				w.status.Warnings = []string{"metrics.textfile cannot be written: no space left; free some"}
			},
			"daemon", doctor.Warn,
			[]string{"no space left", "free some"},
		},
		{
			"an old daemon", func(w *world) { w.status.Version = "v0" }, "daemon", doctor.Warn,
			[]string{"runs version v0, and version v1 is installed\nkill 4711, then oauth-proxyd serve"},
		},
	}
}

// brokenRequests has a daemon whose requests wait or fail.
func brokenRequests() []breakage {
	return []breakage{
		{"requests wait", func(w *world) { w.status.Requests.Queued = 3 }, "daemon", doctor.Warn, []string{"3 requests wait", "proxy.max_connections"}},
		{"requests fail, and the upstream works", func(w *world) {
			w.failing("the last request failed: no response; it may have run: reset by peer", "run `oauth-proxyd doctor`")
		}, "daemon", doctor.Warn, []string{
			"the last request failed: no response; it may have run: reset by peer\nthe upstream responds to doctor's GET: run `oauth-proxyd explain ID`",
		}},
		{"requests fail to connect, and doctor's does not", func(w *world) {
			w.failing("the last request failed: upstream_connect: connection refused", "run `oauth-proxyd doctor`")
			w.status.Requests.Cause = "upstream_connect: connection refused"
		}, "daemon", doctor.Warn, []string{"connection refused\nthis command can connect and the daemon could not", "where the daemon runs"}},
		{"a setting makes requests fail", func(w *world) {
			w.failing("the last request failed: the queue is full", "raise proxy.queue_limit")
		}, "daemon", doctor.Warn, []string{"the queue is full; raise proxy.queue_limit"}},
		{"responses have no request-id", func(w *world) {
			w.failing("the last request failed: 503", "the API sends an id; a portal may have sent it; run `oauth-proxyd doctor`")
		}, "daemon", doctor.Warn, []string{"the last request failed: 503; the API sends an id; a portal may have sent it\nthe upstream responds to doctor's GET"}},
	}
}

// brokenTailnets breaks tailscaled.
func brokenTailnets() []breakage {
	return []breakage{
		{
			"no Tailscale", func(w *world) { w.tailscaled = nil; w.t.Setenv("PATH", w.dir) }, "tailscaled", doctor.Fail,
			[]string{"not running, and Tailscale is not installed", "https://tailscale.com/download", "required = false"},
		},
		{"no tailscaled", func(w *world) { w.tailscaled = nil; w.installTailscale() }, "tailscaled", doctor.Fail, []string{"not running", "\nrun `systemctl start tailscaled`"}},
		{
			"tailscaled is down", func(w *world) { w.tailscaled["GET status"] = say(statusOf("Stopped", "")) },
			"tailscaled", doctor.Fail,
			[]string{"state Stopped", "\nrun `tailscale up`"},
		},
		{"logged out", func(w *world) {
			w.tailscaled["GET status"] = say(statusOf("NeedsLogin", `,"AuthURL":"https://login.example/a/5ecret"`))
		}, "tailscaled", doctor.Fail, []string{"NeedsLogin", "\nrun `tailscale login`", "oauth-proxyd status"}},
		{
			"not approved", func(w *world) { w.tailscaled["GET status"] = say(statusOf("NeedsMachineAuth", "")) },
			"tailscaled", doctor.Fail,
			[]string{"approve this node"},
		},
		{"the key expires", func(w *world) { w.keyExpires(48 * time.Hour) }, "node key", doctor.Warn, []string{"expires at", "--force-reauth"}},
		{"a warning of tailscaled", func(w *world) {
			w.tailscaled["GET status"] = say(strings.Replace(statusOf("Running", ""), `"Health":[]`, `"Health":["no DERP home"]`, 1))
		}, "tailscaled health", doctor.Warn, []string{"no DERP home", "tailscale status"}},
		{
			"shields up", func(w *world) { w.tailscaled["GET prefs"] = say(`{"CorpDNS":true,"ShieldsUp":true}`) },
			"shields up", doctor.Fail,
			[]string{"tailscale set --shields-up=false"},
		},
		{"MagicDNS is off", func(w *world) {
			w.tailscaled["GET status"] = say(strings.Replace(statusOf("Running", ""), `"MagicDNSEnabled":true`, `"MagicDNSEnabled":false`, 1))
		}, "magicdns", doctor.Warn, []string{"must use 100.64.0.1", "admin/dns"}},
		{
			"Funnel", func(w *world) { w.publishes(`"AllowFunnel":{"box.tail.ts.net:443":true},`) },
			"serve", doctor.Fail,
			[]string{"whole internet", "tailscale funnel --https=443 off"},
		},
		{
			"serve, and its requests are refused", func(w *world) { w.publishes("") },
			"serve", doctor.Warn,
			[]string{`"proxied"`, `allow = ["local", "tailnet", "proxied"]`, "tailscale serve --https=443 off"},
		},
	}
}

// brokenEntrances keeps peers out.
func brokenEntrances() []breakage {
	return []breakage{
		{
			"the policy forbids the peer", func(w *world) { w.peer = "ai"; w.tailscaled["POST debug-packet-filter-rules"] = say(`[]`) },
			"peer", doctor.Fail,
			[]string{"ai.tail.ts.net (tag:aperture)", "time out", `{"src": ["tag:aperture"], "dst": ["100.64.0.1"], "ip": ["tcp:`},
		},
		{
			"access.allow forbids the peer", func(w *world) { w.peer = "ai"; w.allow(`"local", "ann@example.com"`) },
			"peer", doctor.Fail,
			[]string{"does not admit ai.tail.ts.net (tag:aperture)", `allow = ["local", "ann@example.com", "tag:aperture"]`, "oauth-proxyd reload"},
		},
		{"an unknown peer", func(w *world) { w.peer = "aj" }, "peer", doctor.Fail, []string{`no node named "aj"`, "tailscale status"}},
		{"a tag without a tailnet", func(w *world) {
			w.allow(`"local", "tag:aperture"`)
			w.replace("tailscale {", "tailscale {\n  required = false")
			w.tailscaled = nil
		}, "config", doctor.Warn, []string{`"tag:aperture"`, "matches nobody", "required = false", "remove it, or set tailscale.required = true\noauth-proxyd reload"}},
		{"two nodes have the peer's name", func(w *world) {
			w.peer = "ai"
			w.tailscaled["GET status"] = say(strings.Replace(statusOf("Running", ""), `"DNSName":"laptop.tail`, `"DNSName":"ai.shared`, 1))
		}, "peer", doctor.Fail, []string{"2 nodes", "doctor --peer ai.shared.ts.net", "doctor --peer ai.tail.ts.net"}},
		{"the peer is this node", func(w *world) { w.peer = "box" }, "peer", doctor.Fail, []string{"this node itself"}},
		{"the peer is offline", func(w *world) {
			w.peer = "ai"
			w.tailscaled["GET status"] = say(strings.ReplaceAll(statusOf("Running", ""), `"Online":true`, `"Online":false`))
		}, "peer", doctor.Warn, []string{"offline"}},
		{
			"the policy refused a connection", func(w *world) { w.refused("acl", time.Now()) }, "refused peers", doctor.Warn,
			[]string{"refused laptop.tail.ts.net (user ann@example.com) 3 times", "reason: acl", `{"src": ["ann@example.com"], "dst": ["100.64.0.1"], "ip": ["tcp:`},
		},
		{
			"shields refused a connection", func(w *world) { w.refused("shields", time.Now()) }, "refused peers", doctor.Warn,
			[]string{"reason: shields", "tailscale set --shields-up=false"},
		},
		{
			"a firewall refused a connection", func(w *world) { w.refused("host-firewall", time.Now()) }, "refused peers", doctor.Warn,
			[]string{"reason: host-firewall", "nft list ruleset"},
		},
		{"a tag without a node", func(w *world) { w.allow(`"local", "tag:apertur"`) }, "access", doctor.Warn, []string{`"tag:apertur"`, "matches no node"}},
		{"a user without a node", func(w *world) { w.allow(`"local", "an@example.com"`) }, "access", doctor.Warn, []string{`"an@example.com"`}},
		{"a node that is not there", func(w *world) { w.allow(`"local", "node:ai.other.ts.net"`) }, "access", doctor.Warn, []string{`"node:ai.other.ts.net"`, "matches no node"}},
		{
			"a gateway that is not there", func(w *world) { w.config += "identity {\n  from = [\"tag:apertur\"]\n}\n" }, "access", doctor.Warn,
			[]string{`identity.from has "tag:apertur"`, "matches no node"},
		},
		{"a list that admits nobody", func(w *world) { w.allow(`"tag:apertur", "an@example.com"`) }, "access", doctor.Warn, []string{`access.allow has "tag:apertur"`, "matches no node"}},
		{"only this host", func(w *world) { w.allow(`"local"`) }, "access", doctor.Warn, []string{`only "local"`, `allow = ["local", "tailnet"]`}},
	}
}

// brokenExits breaks the path to the upstream.
func brokenExits() []breakage {
	return []breakage{
		{"a rule that never applies", func(w *world) {
			w.replace(`"merge"`, "\"merge\"\n  when {\n    bearer_prefix = \"sk-ant-oauth\"\n  }")
		}, "header rules", doctor.Warn, []string{"401", "the conditions of the rules that add oauth-2025-04-20 leave it out", "apply to these requests"}},
		{"a rule for another path", func(w *world) {
			w.replace(`"merge"`, "\"merge\"\n  when {\n    bearer_prefix = \"sk-ant-oat\"\n    path_prefix = \"/v1/complete\"\n  }")
		}, "header rules", doctor.Warn, []string{"leave it out", "401"}},
		{
			"a rule that removes anthropic-version", func(w *world) { w.config += "header \"anthropic-version\" {\n  mode = \"remove\"\n}\n" },
			"header rules", doctor.Fail,
			[]string{"API key", "400: anthropic-version: header is required", "oauth-proxyd selftest"},
		},
		{"no rule", func(w *world) { w.config, _, _ = strings.Cut(w.config, "header") }, "header rules", doctor.Warn, []string{"401", `mode  = "merge"`}},
		{"a rule that replaces", func(w *world) { w.replace(`"merge"`, `"set"`) }, "header rules", doctor.Warn, []string{"400", `mode "merge" keeps them`}},
		{
			"an exit node", func(w *world) { w.tailscaled["GET prefs"] = say(`{"CorpDNS":true,"ExitNodeID":"n2"}`) },
			"egress", doctor.Warn,
			[]string{"exit node laptop.tail.ts.net", "tailscale set --exit-node="},
		},
		{"no upstream", func(w *world) { w.upstream.Close() }, "upstream tcp", doctor.Fail, []string{"refused", "is the upstream running there, and is this its port? Or does a firewall", "nft list ruleset", "curl -v"}},
		{"a proxy that only the environment names", func(w *world) {
			w.t.Setenv("HTTPS_PROXY", "http://u:5ecret@10.0.0.1:3128")
			w.upstream.Close()
		}, "upstream tcp", doctor.Fail, []string{"refused\nHTTPS_PROXY is set in the environment, and oauth-proxyd ignores it: set proxy.upstream_proxy in test.hcl"}},
		{"no upstream, and requests fail", func(w *world) {
			w.failing("the last request failed: no connection", "run `oauth-proxyd doctor`")
			w.upstream.Close()
		}, "upstream tcp", doctor.Fail, []string{"refused", "curl -v"}},
		{
			"an upstream that does not resolve", func(w *world) { w.replace(w.upstream.URL, "https://api.invalid") },
			"upstream dns", doctor.Fail,
			[]string{"api.invalid", "getent hosts api.invalid"},
		},
		{"something else than the API", func(w *world) {
			w.upstream.Config.Handler = http.RedirectHandler("http://login.example/", http.StatusFound)
		}, "upstream http", doctor.Fail, []string{"302", "a redirect", "not the API", "portal"}},
		{"an upstream with a problem", func(w *world) {
			w.upstream.Config.Handler = respondAs(529, "application/json", "req_011", "{}")
		}, "upstream http", doctor.Warn, []string{"529", "status.anthropic.com"}},
	}
}

// TestRulesAreJudgedTogether: what counts is what the API receives after all rules.
func TestRulesAreJudgedTogether(t *testing.T) {
	const lacks401 = "401, because anthropic-beta lacks oauth-2025-04-20"
	for _, row := range []struct {
		rule   string
		status doctor.Status
		words  []string
	}{
		{"mode = \"remove\"", doctor.Warn, []string{"its own features are lost"}},
		{"value = \"other-1\"", doctor.Warn, []string{"its own features are lost"}},
		{"value = \"other-1\"\n mode = \"merge\"", doctor.OK, []string{"add oauth-2025-04-20"}},
		{"value = \"other-1\"\n mode = \"default\"", doctor.OK, []string{"add oauth-2025-04-20"}},
	} {
		w := newWorld(t)
		w.config += "header \"anthropic-beta\" {\n " + row.rule + "\n when {\n  path_prefix = \"/v1/messages\"\n }\n}\n"
		if f := find(w.examine(), "header rules"); f.Status != row.status || lacks(f, row.words) {
			t.Errorf("%s: %+v, want %s with %q", row.rule, f, row.status, row.words)
		}
	}
	w := newWorld(t)
	w.replace(`"merge"`, `"default"`)
	if f := find(w.examine(), "header rules"); f.Status != doctor.Warn || lacks(f, []string{lacks401}) {
		t.Errorf("Claude Code sends the header: %+v", f)
	}
}

// TestFirstFindingNamesTheFault: the first finding names the fault, and how to fix it.
func TestFirstFindingNamesTheFault(t *testing.T) {
	for _, row := range slices.Concat(brokenConfigs(), brokenSockets(), brokenDaemons(), brokenRequests(), brokenTailnets(), brokenEntrances(), brokenExits(), brokenHandshakes(), silentHandshakes(), brokenChains()) {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			row.broken(w)
			r := w.examine()
			f, found := firstFault(r)
			if !found || f.Check != row.check || f.Status != row.status || lacks(f, row.words) {
				t.Errorf("first: %+v\nwant %s of %q with %q", f, row.status, row.check, row.words)
			}
			if len(f.Fix) == 0 {
				t.Error("nothing fixes it")
			}
			if r.OK == (row.status == doctor.Fail) {
				t.Errorf("OK is %v", r.OK)
			}
			if f := find(r, "tailnet listener"); row.check == "sockets" && f.Check != "" {
				t.Errorf("one fault is reported twice: %+v", f)
			}
			for _, f := range r.Findings {
				if f.Check == "daemon" && !lacks(f, []string{"oauth-proxyd doctor`"}) {
					t.Errorf("doctor advises doctor: %+v", f)
				}
				if !lacks(f, []string{"5ecret"}) {
					t.Errorf("the login URL is in %+v", f)
				}
			}
		})
	}
}

// failing makes the daemon warn that requests fail.
func (w *world) failing(seen, fix string) {
	w.status.Failing, w.status.Requests.Fix = seen+"; "+fix, fix
	w.status.Warnings = []string{w.status.Failing}
}

// installTailscale puts a tailscale command that fails at the beginning of PATH.
func (w *world) installTailscale() {
	if err := os.WriteFile(filepath.Join(w.dir, "tailscale"), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.t.Setenv("PATH", w.dir+":/usr/bin:/bin")
}

func (w *world) keyExpires(in time.Duration) {
	at := time.Now().Add(in).UTC().Format(time.RFC3339)
	w.tailscaled["GET status"] = say(strings.Replace(statusOf("Running", ""), `"Self":{`, `"Self":{"KeyExpiry":"`+at+`",`, 1))
}

// refused makes tailscaled report refused connections of the laptop.
func (w *world) refused(reason string, last time.Time) {
	w.tailscaled["GET debug-rejects"] = say(fmt.Sprintf(`{"Enabled":true,"Incoming":[
		{"Count":9,"Direction":"incoming","Proto":6,"Src":"100.64.0.3:40001","Dst":"100.64.0.1:1","Reason":"acl","Last":%[3]q},
		{"Count":3,"Direction":"incoming","Proto":6,"Src":"100.64.0.2:40000","Dst":"100.64.0.1:%[1]d","Reason":%[2]q,"Last":%[3]q}]}`,
		w.port, reason, last.Format(time.RFC3339Nano)))
}

// publishes makes tailscale serve forward to the daemon's port.
func (w *world) publishes(more string) {
	w.tailscaled["GET serve-config"] = say(`{"TCP":{"443":{"HTTPS":true}},` + more + `"Web":{"box.tail.ts.net:443":{"Handlers":{"/":{"Proxy":"http://127.0.0.1:` +
		strconv.Itoa(int(w.port)) + `"}}}}}`)
}

// TestUpstreamPathIsShown: resolver, proxy and exit node are shown, and how long each step takes.
func TestUpstreamPathIsShown(t *testing.T) {
	w := newWorld(t)
	egress := find(w.examine(), "egress")
	if egress.Status != doctor.OK || lacks(egress, []string{"no proxy", "no exit node"}) || !slices.Contains(nameservers(t), strings.Split(egress.Seen, ", no proxy")[0]) {
		t.Errorf("%+v", egress)
	}
	proxied := newWorld(t)
	through := connectProxy(t, http.StatusOK)
	proxied.through(through)
	r := proxied.examine()
	if egress := find(r, "egress"); lacks(egress, []string{"proxy " + strings.TrimPrefix(through, "http://")}) {
		t.Errorf("%+v", egress)
	}
	took := regexp.MustCompile(` in \d+(\.\d+)? ms`)
	for _, step := range []string{"upstream tcp", "upstream http"} {
		if f := find(r, step); !took.MatchString(f.Seen) {
			t.Errorf("%s takes no time: %q", step, f.Seen)
		}
	}
}

// nameservers is the text about the name servers of this host, see resolv.conf(5).
func nameservers(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var all []string
	for _, found := range regexp.MustCompile(`(?m)^nameserver\s+(\S+)`).FindAllStringSubmatch(string(content), -1) {
		all = append(all, found[1])
	}
	return []string{"resolver " + cmp.Or(strings.Join(all, ", "), "127.0.0.1 (none is configured)")}
}

// TestMissingFactsAreUnknown: what cannot be checked is unknown, never ok.
func TestMissingFactsAreUnknown(t *testing.T) {
	for _, row := range []struct {
		name   string
		broken func(*world)
		check  string
		words  []string
	}{
		{
			"the packet filter, without the right", func(w *world) { w.peer = "ai"; w.tailscaled["POST debug-packet-filter-rules"] = deny },
			"peer",
			[]string{"root only", "sudo oauth-proxyd doctor"},
		},
		{
			"the packet filter of a daemon that has none", func(w *world) { w.peer = "ai"; delete(w.tailscaled, "POST debug-packet-filter-rules") },
			"peer",
			[]string{"packet filter"},
		},
		{"a tag, without tailscaled", func(w *world) { w.allow(`"tag:aperture"`); w.tailscaled = nil }, "access", []string{"access.allow", "does not show the peers"}},
		{"a peer, without tailscaled", func(w *world) { w.peer = "ai"; w.tailscaled = nil }, "peer", []string{"not connected"}},
		{"a configuration that this user may not read", func(w *world) { w.configErr = fs.ErrPermission }, "config", []string{"may not read test.hcl", "sudo oauth-proxyd doctor"}},
		{"an upstream that is not known", func(w *world) { w.configErr = errors.New("no such file") }, "upstream", []string{"not tried"}},
		{
			"refused connections, which are not recorded", func(w *world) { w.peer = "ai"; w.tailscaled["GET debug-rejects"] = say(`{}`) },
			"refused peers",
			[]string{`"nodeAttrs": [`, `"attr": ["debug-conn-reject"]`},
		},
		{
			"refused connections, with an older tailscaled", func(w *world) { w.peer = "ai"; delete(w.tailscaled, "GET debug-rejects") },
			"refused peers",
			[]string{"from 1.104 on"},
		},
		{"tailscaled's settings", func(w *world) { delete(w.tailscaled, "GET prefs") }, "shields up", []string{"does not show"}},
		{"what tailscale serves", func(w *world) { delete(w.tailscaled, "GET serve-config") }, "serve", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			row.broken(w)
			r := w.examine()
			f := find(r, row.check)
			if f.Status != doctor.Unknown || lacks(f, row.words) {
				t.Errorf("%+v, want unknown with %q", f, row.words)
			}
		})
	}
}

// TestConsequencesAreNotReported: where a check has found a fault, the daemon's warnings are not
// repeated.
func TestConsequencesAreNotReported(t *testing.T) {
	for _, broken := range []bool{false, true} {
		w := newWorld(t)
		w.failing("the last request failed: reset by peer", "run `oauth-proxyd doctor`")
		if broken {
			w.upstream.Close()
		}
		repeated := slices.ContainsFunc(w.examine().Findings, func(f doctor.Finding) bool { return strings.Contains(f.Seen, "reset by peer") })
		if repeated == broken {
			t.Errorf("reported: %t, with its cause: %t", repeated, broken)
		}
	}
}

func TestConfigurationThatOnlyTheServiceRefuses(t *testing.T) {
	w := newWorld(t)
	w.configErr, w.serviceOnly = errors.New("only the service refuses the file"), true
	r := w.examine()
	if f := find(r, "config"); f.Status != doctor.Fail || lacks(f, []string{"only the service", "oauth-proxyd check --config test.hcl"}) {
		t.Errorf("%+v", f)
	}
	for _, check := range []string{"access", "header rules", "upstream http"} {
		if f := find(r, check); f.Status != doctor.OK {
			t.Errorf("%s is %q: %q", check, f.Status, f.Seen)
		}
	}
}

func TestOldRefusalsAreNoFault(t *testing.T) {
	w := newWorld(t)
	w.refused("acl", time.Now().Add(-2*time.Hour))
	if f := find(w.examine(), "refused peers"); f.Status != doctor.OK {
		t.Errorf("%+v", f)
	}
}

func TestTailnetIsNotRequired(t *testing.T) {
	w := newWorld(t)
	w.replace("tailscale {", "tailscale {\n  required = false")
	w.tailscaled = nil
	r := w.examine()
	if f, found := firstFault(r); found {
		t.Errorf("a fault without a cause: %+v", f)
	}
	if f := find(r, "tailscaled"); f.Status != doctor.OK || lacks(f, []string{"required = false"}) {
		t.Errorf("%+v", f)
	}
}

func TestPeerAdmittedByUser(t *testing.T) {
	w := newWorld(t)
	w.peer = "laptop"
	w.allow(`"local", "ann@example.com"`)
	w.tailscaled["GET whois"] = deny // not needed for it
	r := w.examine()
	if f, found := firstFault(r); found {
		t.Errorf("a fault without a cause: %+v", f)
	}
}

func TestBlocksToPaste(t *testing.T) {
	if f := find(newWorld(t).examine(), "paste"); f.Check != "" {
		t.Errorf("without --paste: %+v", f)
	}
	w := newWorld(t)
	w.paste = true
	blocks := map[string]string{}
	for _, f := range w.examine().Findings {
		who, _, _ := strings.Cut(f.Seen, ",")
		blocks[who] = strings.Join(f.Fix, "\n")
	}
	here := "http://box.tail.ts.net:" + strconv.Itoa(int(w.port))
	if aperture := blocks["for Aperture: the base URL without /v1"]; !strings.Contains(aperture, `"baseurl": "`+here+`"`) ||
		!strings.Contains(aperture, `"auth_mode": "passthrough"`) || strings.Contains(aperture, "apikey") || strings.Contains(aperture, "/v1") {
		t.Errorf("for Aperture: %s", aperture)
	}
	if claude := blocks["for Claude Code"]; !strings.Contains(claude, `"env": {"ANTHROPIC_BASE_URL": "`+here+`"}`) {
		t.Errorf("for Claude Code: %s", claude)
	}
}
