package config_test

import (
	"os"
	"slices"
	"strconv"
	"testing"

	"oauth-proxyd/internal/config"
)

func TestDiff(t *testing.T) {
	rule := func(name, body string) string { return "header \"" + name + "\" {\n" + body + "\n}\n" }
	for _, test := range []struct {
		name     string
		old, new string
		want     []config.Change
	}{
		{"nothing", "", "", nil},
		{"another spelling", "", "proxy {\n  idle_timeout = \"360s\"\n  max_request_body = \"524288KiB\"\n}\n", nil},
		{"a duration", "", "proxy {\n  idle_timeout = \"90s\"\n}\n", []config.Change{
			{Path: "proxy.idle_timeout", Old: `"6m"`, New: `"1m30s"`},
		}},
		{
			"one of each kind",
			"log {\n  level = \"debug\"\n}\n",
			"proxy {\n  upstream_url = \"https://a.com\"\n  queue_limit = 0\n  retry {\n    memory = \"1GiB\"\n  }\n}\n" +
				"tailscale {\n  required = false\n}\naccess {\n  allow = [\"tag:a\", \"node:b\"]\n}\n",
			[]config.Change{
				{Path: "proxy.upstream_url", Old: `"https://api.anthropic.com"`, New: `"https://a.com"`},
				{Path: "proxy.queue_limit", Old: "1000", New: "0"},
				{Path: "proxy.retry.memory", Old: `"64MiB"`, New: `"1GiB"`},
				{Path: "tailscale.required", Old: "true", New: "false"},
				{Path: "access.allow", Old: `["local", "tailnet"]`, New: `["tag:a", "node:b"]`},
				{Path: "log.level", Old: `"debug"`, New: `"info"`},
			},
		},
		{"needs a restart", "", "proxy {\n  listen_addr = \":80\"\n}\ntailscale {\n  socket = \"/run/ts.sock\"\n}\n", []config.Change{
			{Path: "proxy.listen_addr", Old: `"127.0.0.1:8080"`, New: `":80"`, NeedsRestart: true},
			{Path: "tailscale.socket", Old: `""`, New: `"/run/ts.sock"`, NeedsRestart: true},
		}},
		{"a proxy that goes", "proxy {\n  upstream_proxy = \"http://p:1\"\n}\n", "", []config.Change{
			{Path: "proxy.upstream_proxy", Old: `["http://p:1"]`, New: `[]`},
		}},
		{"a second proxy", "proxy {\n  upstream_proxy = [\"http://p:1\"]\n}\n", "proxy {\n  upstream_proxy = [\"http://p:1\", \"http://q:2\"]\n}\n", []config.Change{
			{Path: "proxy.upstream_proxy", Old: `["http://p:1"]`, New: `["http://p:1", "http://q:2"]`},
		}},
		{"proxies in another order", "proxy {\n  upstream_proxy = [\"http://p:1\", \"http://q:2\"]\n}\n", "proxy {\n  upstream_proxy = [\"http://q:2\", \"http://p:1\"]\n}\n", []config.Change{
			{Path: "proxy.upstream_proxy", Old: `["http://p:1", "http://q:2"]`, New: `["http://q:2", "http://p:1"]`},
		}},
		{"two spellings of a proxy", "proxy {\n  upstream_proxy = \"http://p:1\"\n}\n", "proxy {\n  upstream_proxy = [\"http://P:1/\"]\n}\n", nil},
		{"two spellings of a list", "access {\n  allow = \"local\"\n}\n", "access {\n  allow = [\"local\"]\n}\n", nil},
		{"two spellings of no proxy", "proxy {\n  upstream_proxy = \"\"\n}\n", "proxy {\n  upstream_proxy = []\n}\n", nil},
		{"a rule that comes", "", rule("Anthropic-Beta", `value = "a"`), []config.Change{
			{Path: `header "anthropic-beta"`, New: `set "a"`},
		}},
		{"a rule that goes", rule("x-a", `mode = "remove"`), "", []config.Change{
			{Path: `header "x-a"`, Old: "remove"},
		}},
		{"a rule that changes", rule("x-a", `value = "a"`), rule("X-A", "value = \"b\"\nmode = \"merge\""), []config.Change{
			{Path: `header "x-a"`, Old: `set "a"`, New: `merge "b"`},
		}},
		{"a condition that comes", rule("x-a", `value = "a"`), rule("x-a", "value = \"a\"\nwhen {\nlistener = \"l\"\n}"), []config.Change{
			{Path: `header "x-a"`, Old: `set "a"`},
			{Path: `header "x-a" when listener = "l"`, New: `set "a"`},
		}},
		{"another order", rule("x-a", `value = "a"`) + rule("x-b", `value = "b"`), rule("x-b", `value = "b"`) + rule("x-a", `value = "a"`), []config.Change{
			{Path: "header order", Old: `header "x-a", header "x-b"`, New: `header "x-b", header "x-a"`},
		}},
		{"a secret", rule("x-secret", `value = "a"`), rule("x-secret", `value = "b"`), []config.Change{
			{Path: `header "x-secret"`, Old: "set (value not shown)", New: "set (value not shown)"},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := config.Diff(parse(t, test.old), parse(t, test.new))
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%+v\nwant\n%+v", got, test.want)
			}
		})
	}
}

// A change of the certificates in the file is a change, although no setting changed.
func TestDiffOfCertificates(t *testing.T) {
	path := write(t, inPEM(authority(t, "A", nil)))
	src := "proxy {\n  upstream_ca_file = " + strconv.Quote(path) + "\n}\n"
	before := parse(t, src)
	if err := os.WriteFile(path, []byte(inPEM(authority(t, "B", nil))), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []config.Change{{Path: "proxy.upstream_ca_file", Old: strconv.Quote(path), New: strconv.Quote(path) + " (with other certificates)"}}
	if got := config.Diff(before, parse(t, src)); !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
}

func parse(t *testing.T, src string) *config.Config {
	t.Helper()
	c, err := config.Parse("test.hcl", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
