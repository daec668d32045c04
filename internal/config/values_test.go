package config_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/config"
)

// parseLine parses a file with one attribute in one block.
func parseLine(block, line string) (*config.Config, error) {
	return config.Parse("test.hcl", []byte(block+" {\n"+line+"\n}\n"))
}

func TestDurations(t *testing.T) {
	for _, test := range []struct {
		text string
		want time.Duration // 0: refused
	}{
		{"10ms", 10 * time.Millisecond},
		{"1.5s", 1500 * time.Millisecond},
		{"1h30m", 90 * time.Minute},
		{"24h", 24 * time.Hour},
		{"24h0m1s", 0},
		{"9.999ms", 0},
		{"", 0},
		{"0", 0},
		{"5", 0},
		{"5 s", 0},
		{"-5s", 0},
		{"1d", 0},
		{"1w", 0},
		{"99999999999999h", 0},
	} {
		t.Run(test.text, func(t *testing.T) {
			c, err := parseLine("proxy", "idle_timeout = "+strconv.Quote(test.text))
			if (err != nil) != (test.want == 0) {
				t.Fatalf("error is %v", err)
			}
			if err == nil && c.Proxy.IdleTimeout != test.want {
				t.Errorf("got %v, want %v", c.Proxy.IdleTimeout, test.want)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	for _, test := range []struct {
		text string
		want int64 // 0: refused
	}{
		{"1B", 1},
		{"100B", 100},
		{"64KiB", 64 << 10},
		{"512MiB", 512 << 20},
		{"1024GiB", 1 << 40},
		{"1025GiB", 0},
		{"0B", 0},
		{"-1B", 0},
		{"1", 0},
		{"", 0},
		{"MiB", 0},
		{"1 MiB", 0},
		{"1mib", 0},
		{"1MB", 0},
		{"1M", 0},
		{"1.5MiB", 0},
		{"1TiB", 0},
		{"9223372036854775807GiB", 0},
		{"9223372036854775808B", 0},
	} {
		t.Run(test.text, func(t *testing.T) {
			c, err := parseLine("proxy", "max_request_body = "+strconv.Quote(test.text))
			if (err != nil) != (test.want == 0) {
				t.Fatalf("error is %v", err)
			}
			if err == nil && c.Proxy.MaxRequestBody != test.want {
				t.Errorf("got %d, want %d", c.Proxy.MaxRequestBody, test.want)
			}
		})
	}
}

func TestSources(t *testing.T) {
	for _, test := range []struct {
		text string
		kind config.SourceKind // empty: refused
		back string            // what String gives, where it is not text
	}{
		{"local", config.Local, ""},
		{"tailnet", config.Tailnet, ""},
		{"proxied", config.Proxied, ""},
		{"Local", "", ""},
		{"alice@github", config.User, ""},
		{"a b@example.com", "", ""},
		{"https://user:password@example.com", "", ""},
		{"tag:a-1", config.Tag, ""},
		{"tag:", "", ""},
		{"tag:a b", "", ""},
		{"node:nRSTuvwXyz1CNTRL", config.Node, ""},
		{"node:host.example.ts.net.", config.Node, "node:host.example.ts.net"},
		{"node:a b", "", ""},
		{"node:", "", ""},
		{"node:.", "", ""},
		{"node:user@example.com", config.Node, ""},
		{"100.64.0.1", config.CIDR, ""},
		{"100.64.0.1/32", config.CIDR, "100.64.0.1"},
		{"0.0.0.0/0", config.CIDR, ""},
		{"::/0", config.CIDR, ""},
		{"::ffff:10.1.2.3", config.CIDR, "10.1.2.3"},
		{"::ffff:10.0.0.0/104", config.CIDR, "10.0.0.0/8"},
		{"fe80::1%eth0", "", ""},
		{"010.0.0.1", "", ""},
		{"10.0.0.0/08", "", ""},
		{"10.1.0.0/8", "", ""},
		{"cap:example.com/cap/x", config.Capability, ""},
		{"cap:https://example.com/cap/x", config.Capability, ""},
		{"cap:", "", ""},
		{"cap:example.com/a b", "", ""},
		{" local", "", ""},
	} {
		t.Run(test.text, func(t *testing.T) {
			c, err := parseLine("access", "allow = ["+strconv.Quote(test.text)+"]")
			if (err != nil) != (test.kind == "") {
				t.Fatalf("error is %v", err)
			}
			if err != nil {
				return
			}
			back := test.back
			if back == "" {
				back = test.text
			}
			if got := c.Access.Allow[0]; got.Kind != test.kind || got.String() != back {
				t.Errorf("got %s, %s; want %s, %s", got.Kind, got, test.kind, back)
			}
		})
	}
}

func TestUpstreams(t *testing.T) {
	for _, test := range []struct {
		text string
		want string // empty: refused
	}{
		{"https://api.anthropic.com", "https://api.anthropic.com"},
		{"https://api.anthropic.com/", "https://api.anthropic.com"},
		{"HTTPS://API.Anthropic.com:8443", "https://api.anthropic.com:8443"},
		{"http://127.8.8.8:1", "http://127.8.8.8:1"},
		{"http://[::1]:9000", "http://[::1]:9000"},
		{"http://[::ffff:127.0.0.1]:9000", "http://[::ffff:127.0.0.1]:9000"},
		{"http://localhost:9000", "http://localhost:9000"},
		{"http://100.64.0.1", "http://100.64.0.1"},
		{"http://100.127.255.255", "http://100.127.255.255"},
		{"http://100.128.0.1", ""},
		{"http://[fd7a:115c:a1e0::1]", "http://[fd7a:115c:a1e0::1]"},
		{"http://[fd7a:115c:a1e1::1]", ""},
		{"http://ai.example.ts.net", "http://ai.example.ts.net"},
		{"http://ai.example.ts.net.", "http://ai.example.ts.net."},
		{"http://ts.net", ""},
		{"http://example.ts.net.evil.com", ""},
		{"http://examplets.net", ""},
		{"http://127.0.0.1.nip.io", ""},
		{"http://0177.0.0.1", ""},
		{"http://2130706433", ""},
		{"http://localhost.evil.com", ""},
		{"https://a.com//", ""},
		{"https://a.com?", ""},
		{"https://a.com#", ""},
		{"https://a.com:", ""},
		{"https://a.com:0", ""},
		{"https://a b.com", ""},
		{"https:a.com", ""},
		{"//a.com", ""},
		{" https://a.com", ""},
	} {
		t.Run(test.text, func(t *testing.T) {
			c, err := parseLine("proxy", "upstream_url = "+strconv.Quote(test.text))
			if (err != nil) != (test.want == "") {
				t.Fatalf("error is %v", err)
			}
			if err == nil && c.Proxy.UpstreamURL.String() != test.want {
				t.Errorf("got %s, want %s", c.Proxy.UpstreamURL, test.want)
			}
		})
	}
}

func TestListenAddrs(t *testing.T) {
	for text, ok := range map[string]bool{
		":8080": true, "127.0.0.1:0": true, "localhost:80": true, "[::]:65535": true, "[fe80::1%eth0]:80": true,
		"": false, ":": false, "8080": false, "127.0.0.1:http": false, "127.0.0.1:65536": false, "::1:8080": false, ":-1": false, ":+80": false, "::": false, "example.com:80": false,
		"@abstract": false, "/run/x.sock": false, "http://127.0.0.1:80": false, "127.0.0.1:80 ": false,
	} {
		t.Run(text, func(t *testing.T) {
			c, err := parseLine("proxy", "listen_addr = "+strconv.Quote(text))
			if (err == nil) != ok {
				t.Fatalf("error is %v", err)
			}
			if ok && c.Proxy.ListenAddr != text {
				t.Errorf("got %s", c.Proxy.ListenAddr)
			}
		})
	}
}

func TestUpstreamIs(t *testing.T) {
	for _, test := range []struct {
		upstream, listener string
		want               bool
	}{
		{"http://127.0.0.1:9000", "127.0.0.1:9000", true},
		{"http://127.0.0.1:9000", "127.0.0.1:9001", false},
		{"http://localhost:9000", "[::1]:9000", true},
		{"http://127.0.0.1:9000", ":9000", true},
		{"http://127.0.0.1:9000", "0.0.0.0:9000", true},
		{"http://127.0.0.1:9000", "100.64.0.1:9000", false},
		{"http://100.64.0.1:9000", "100.64.0.1:9000", true},
		{"http://100.64.0.1:9000", "[::ffff:100.64.0.1]:9000", true},
		{"http://localhost", "127.0.0.1:80", true},
		{"https://localhost", "127.0.0.1:443", true},
		{"https://localhost", "127.0.0.1:80", false},
		{"http://localhost:080", "127.0.0.1:80", true},
		{"http://127.0.0.1:9000", "/run/proxy.sock", false},
	} {
		t.Run(test.upstream+" "+test.listener, func(t *testing.T) {
			c, err := parseLine("proxy", "listen_addr = \"127.0.0.1:0\"\nupstream_url = "+strconv.Quote(test.upstream))
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Proxy.UpstreamIs(test.listener); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestHeaderValueLength(t *testing.T) {
	for length, ok := range map[int]bool{8192: true, 8193: false} {
		src := "header \"x-foo\" {\n value = \"" + strings.Repeat("a", length) + "\"\n}\n"
		if _, err := config.Parse("test.hcl", []byte(src)); (err == nil) != ok {
			t.Errorf("%d bytes: error is %v", length, err)
		}
	}
}

// Rules that a later rule for the same header takes the effect from.
func TestRulesThatUndoOthers(t *testing.T) {
	const merge = "header \"anthropic-beta\" {\n  value = \"a\"\n  mode = \"merge\"\n  when {\n    bearer_prefix = \"sk-ant-oat\"\n  }\n}\n"
	set, remove := strings.NewReplacer("merge", "set", "sk-ant-oat", "sk-ant"), "header \"anthropic-beta\" {\n  mode = \"remove\"\n}\n"
	narrow := strings.NewReplacer("merge", "set", "sk-ant-oat", "sk-ant-oat02").Replace(merge)
	for name, row := range map[string]struct{ text, want string }{
		"set over merge": {merge + set.Replace(merge), `header "anthropic-beta" when bearer_prefix = "sk-ant-oat": it has no effect, because the later header "anthropic-beta" when bearer_prefix = "sk-ant", mode "set", undoes it`},
		"remove":         {merge + remove, `because the later header "anthropic-beta", mode "remove", undoes it; delete one of them`},
		"narrow set":     {merge + narrow, `where the later header "anthropic-beta" when bearer_prefix = "sk-ant-oat02" applies too, its mode "set" replaces what this rule adds`},
		"merge over set": {set.Replace(merge) + merge, ""},
		"another header": {merge + strings.ReplaceAll(remove, "beta", "other"), ""},
		"an exception":   {strings.Replace(remove, "remove\"", "set\"\n  value = \"b\"", 1) + narrow, ""},
		"others' tokens": {merge + strings.NewReplacer("merge", "set", "sk-ant-oat", "sk-ant-api").Replace(merge), ""},
	} {
		c, err := config.Parse("test.hcl", []byte(row.text))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(c.Warnings(), "\n"); !strings.Contains(got, row.want) || (got == "") != (row.want == "") {
			t.Errorf("%s: warnings are %q, want %q", name, got, row.want)
		}
	}
}

// Entries that only tailscaled can judge match nobody if it is not asked.
func TestSourcesThatMatchNobody(t *testing.T) {
	const none = "tailscale {\n  required = false\n}\n"
	tests := []struct{ name, text, want string }{
		{"the defaults", "", ""},
		{"each kind", `access { allow = ["local", "tailnet", "proxied", "a@example.com", "tag:a", "node:a", "cap:example.com/a", "10.0.0.0/8", "0.0.0.0/0", "::/0"] }`, ""},
		{"a tag without a tailnet", none + `access { allow = ["local", "tag:a"] }`, `access.allow: "tag:a" matches nobody: with tailscale.required = false`},
		{"the default without a tailnet", none, ""},
		{"only tags without a tailnet", none + `access { allow = ["tag:a", "b@example.com"] }`, `access.allow: it admits nobody, so every request is refused: with tailscale.required = false`},
		{"a gateway that is not admitted", `access { allow = ["local"] }` + "\n" + `identity { from = ["tag:gw"] }`, `identity.from: "tag:gw" matches nobody: access.allow does not admit it`},
		{"a gateway that may be admitted", `access { allow = ["local", "10.0.0.0/8"] }` + "\n" + `identity { from = ["tag:gw"] }`, ""},
		{"a node without a tailnet, for metrics", none + "access {\n  allow = [\"local\"]\n}\n" + `metrics { allow = ["node:prometheus"] }`, `metrics.allow: "node:prometheus" matches nobody`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Parse("test.hcl", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(c.Warnings(), "\n")
			if got != tt.want && (tt.want == "" || !strings.Contains(got, tt.want) || strings.Contains(got, "\n") && !strings.Contains(tt.name, "metrics")) {
				t.Errorf("warnings are %q, want %q", got, tt.want)
			}
		})
	}
}
