package config_test

import (
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"oauth-proxyd/internal/config"
)

func parseGood(t *testing.T, file string) *config.Config {
	t.Helper()
	c, err := config.Load(filepath.Join("testdata/good", file))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGoodFiles(t *testing.T) {
	warn := config.Default()
	warn.Log.Level = slog.LevelWarn
	local := config.Default()
	local.Access.Allow = []config.Source{{Kind: config.Local, Value: "local"}}
	rule := config.Default()
	rule.Headers = []config.Header{{Name: "X-Foo", Value: "a", Mode: config.ModeSet}}
	for _, test := range []struct {
		file string
		want *config.Config
	}{
		{"empty.hcl", config.Default()},
		{"everything.hcl", everything()},
		{"dos-line-ends.hcl", warn},
		{"comments.hcl", local},
		{"empty-blocks.hcl", rule},
	} {
		t.Run(test.file, func(t *testing.T) {
			if got := parseGood(t, test.file); !reflect.DeepEqual(got, test.want) {
				t.Errorf("differs: %+v", config.Diff(test.want, got))
			}
		})
	}
	files, err := os.ReadDir("testdata/good")
	if err != nil || len(files) != 5 {
		t.Errorf("%d files in testdata/good, 5 are tested (%v)", len(files), err)
	}
}

func TestDefault(t *testing.T) {
	got := config.Default()
	want := config.Proxy{
		ListenAddr:            "127.0.0.1:8080",
		UpstreamURL:           &url.URL{Scheme: "https", Host: "api.anthropic.com"},
		ConnectTimeout:        15 * time.Second,
		ResponseHeaderTimeout: 11 * time.Minute,
		IdleTimeout:           6 * time.Minute,
		MaxConnections:        1000,
		QueueLimit:            1000,
		QueueTimeout:          30 * time.Second,
		MaxRequestBody:        512 << 20,
		DrainTimeout:          5 * time.Second,
		HandoverTimeout:       time.Hour,
		Retry:                 config.Retry{Attempts: 3, Backoff: 100 * time.Millisecond, Memory: 64 << 20},
	}
	if !reflect.DeepEqual(got.Proxy, want) {
		t.Errorf("proxy is %+v", got.Proxy)
	}
	if len(got.Headers) != 0 {
		t.Errorf("header rules out of nothing: %v", got.Headers)
	}
	got.Access.Allow[0].Value = "changed"
	if again := config.Default(); again.Access.Allow[0].Value != "local" || again.Metrics.Allow[0].Value != "local" {
		t.Error("two defaults share their lists")
	}
}

// everything is what testdata/good/everything.hcl says.
func everything() *config.Config {
	return &config.Config{
		Proxy: config.Proxy{
			ListenAddr:              "[::1]:0",
			UpstreamURL:             &url.URL{Scheme: "http", Host: "gateway.example.ts.net:8000"},
			UpstreamProxies:         []*url.URL{{Scheme: "http", Host: "127.0.0.1:3128"}, {Scheme: "http", Host: "proxy.example.ts.net:443"}},
			ConnectTimeout:          10 * time.Millisecond,
			ResponseHeaderTimeout:   24 * time.Hour,
			IdleTimeout:             90 * time.Minute,
			MaxConnections:          1000,
			MaxConnectionsPerPerson: 8,
			QueueTimeout:            time.Minute,
			MaxRequestBody:          64 << 10,
			DrainTimeout:            90 * time.Second,
			HandoverTimeout:         2 * time.Hour,
			Retry:                   config.Retry{Attempts: 1, Backoff: time.Second, Memory: 1 << 30},
		},
		Tailscale: config.Tailscale{WhenDown: config.Exit, Socket: "/run/tailscale/tailscaled.sock"},
		Identity: config.Gateways{
			From:   []config.Source{{Kind: config.Tag, Value: "tag:aperture"}, {Kind: config.Proxied, Value: "proxied"}},
			Header: "X-Forwarded-Email",
		},
		Access: config.Access{Allow: everySource(), Browsers: []string{"https://chat.example.com", "http://localhost:3000", "http://[::1]", "*"}},
		Headers: []config.Header{
			{Name: "Anthropic-Beta", Value: "oauth-2025-04-20", Mode: config.ModeMerge, When: config.When{
				BearerPrefix: "sk-ant-oat", PathPrefix: "/v1/", UserAgentPrefix: "claude-cli/", Listener: "proxy",
			}},
			{Name: "Anthropic-Beta", Mode: config.ModeRemove, When: config.When{Listener: "plain"}},
			{Name: "X-Empty", Mode: config.ModeSet},
			{Name: "X_odd", Value: `a, "b"`, Mode: config.ModeDefault},
		},
		Metrics: config.Metrics{
			Textfile:         "/var/lib/oauth-proxyd-prometheus/node-exporter/oauth-proxyd.prom",
			TextfileInterval: time.Minute,
		},
		Log: config.Log{Level: slog.LevelDebug, Format: "journal", Identity: "hashed"},
	}
}

func everySource() []config.Source {
	cidr := func(value, prefix string) config.Source {
		return config.Source{Kind: config.CIDR, Value: value, Prefix: netip.MustParsePrefix(prefix)}
	}
	return []config.Source{
		{Kind: config.Local, Value: "local"},
		{Kind: config.Tailnet, Value: "tailnet"},
		{Kind: config.Proxied, Value: "proxied"},
		{Kind: config.User, Value: "user@example.com"},
		{Kind: config.Tag, Value: "tag:aperture"},
		{Kind: config.Node, Value: "node:build-1.example.ts.net"},
		cidr("10.0.0.0/8", "10.0.0.0/8"),
		cidr("192.0.2.0/24", "192.0.2.0/24"),
		cidr("2001:db8::1", "2001:db8::1/128"),
		{Kind: config.Capability, Value: "cap:example.com/cap/x"},
	}
}
