package config

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	day         = 24 * time.Hour
	kib         = int64(1) << 10
	mib         = int64(1) << 20
	gib         = int64(1) << 30
	maxRequests = 1_000_000
)

// schema binds every attribute to a field of c, in the order of oauth-proxyd.hcl(5). It and
// headerSchema are the only places that say which names exist, what they take, and within which
// bounds. Examples in messages are values of c, which is a Default when a file is decoded.
func schema(c *Config) []attribute {
	p, t, rule := &c.Proxy, &c.Tailscale, defaultRule("")
	const shortest = 10 * time.Millisecond
	return slices.Concat([]attribute{
		text("proxy.listen_addr", p.ListenAddr, &p.ListenAddr, parseListenAddr, asIs).needsRestart(),
		upstreamURL("proxy.upstream_url", &p.UpstreamURL),
		caFile("proxy.upstream_ca_file", p),
		proxies("proxy.upstream_proxy", &p.UpstreamProxies),
		duration("proxy.connect_timeout", &p.ConnectTimeout, shortest, 5*time.Minute),
		duration("proxy.response_header_timeout", &p.ResponseHeaderTimeout, shortest, day),
		duration("proxy.idle_timeout", &p.IdleTimeout, shortest, day),
		count("proxy.max_connections", &p.MaxConnections, 1, maxRequests),
		count("proxy.max_connections_per_person", &p.MaxConnectionsPerPerson, 0, maxRequests),
		count("proxy.queue_limit", &p.QueueLimit, 0, maxRequests),
		duration("proxy.queue_timeout", &p.QueueTimeout, shortest, time.Hour),
		size("proxy.max_request_body", &p.MaxRequestBody, 1, 1024*gib),
		duration("proxy.drain_timeout", &p.DrainTimeout, shortest, time.Hour),
		duration("proxy.handover_timeout", &p.HandoverTimeout, shortest, day),
		count("proxy.retry.attempts", &p.Retry.Attempts, 1, 10),
		duration("proxy.retry.backoff", &p.Retry.Backoff, time.Millisecond, time.Minute),
		size("proxy.retry.memory", &p.Retry.Memory, kib, 64*gib),

		boolean("tailscale.required", &t.Required),
		choice("tailscale.when_down", &t.WhenDown, Wait, Exit),
		filePath("tailscale.socket", &t.Socket, "/run/tailscale/tailscaled.sock", "").needsRestart(),

		list("identity.from", "tag:aperture", &c.Identity.From, parseGateway, Source.String, nil),
		text("identity.header", gatewayHeader, &c.Identity.Header, parsePersonHeader, strings.ToLower),

		sources("access.allow", &c.Access.Allow, true),
		list("access.browsers", originExample, &c.Access.Browsers, parseOrigin, asIs, nil),
	}, headerSchema("header", &rule), []attribute{
		sources("metrics.allow", &c.Metrics.Allow, false),
		filePath("metrics.textfile", &c.Metrics.Textfile, "/var/lib/oauth-proxyd-prometheus/node-exporter/oauth-proxyd.prom", ".prom"),
		duration("metrics.textfile_interval", &c.Metrics.TextfileInterval, 100*time.Millisecond, time.Hour),

		level("log.level", &c.Log.Level),
		choice("log.format", &c.Log.Format, "auto", "journal", "text", "json"),
		choice("log.identity", &c.Log.Identity, "full", "hashed", "none"),
	})
}

// headerSchema binds the attributes of one header rule. block names it: "header" in the schema, and
// `header "x-foo"` for a rule of the file, so that messages do.
func headerSchema(block string, h *Header) []attribute {
	return []attribute{
		headerValue(block+".value", &h.Value),
		choice(block+".mode", &h.Mode, ModeSet, ModeMerge, ModeDefault, ModeRemove),
		condition(block+".when.bearer_prefix", "sk-ant-oat", &h.When.BearerPrefix, bearerPrefix),
		condition(block+".when.path_prefix", "/v1/", &h.When.PathPrefix, pathPrefix),
		condition(block+".when.user_agent_prefix", "claude-cli/", &h.When.UserAgentPrefix, noSecret),
		condition(block+".when.listener", "proxy", &h.When.Listener, noSecret),
	}
}

// defaultRule returns the rule of an empty header block.
func defaultRule(name string) Header {
	return Header{Name: http.CanonicalHeaderKey(name), Mode: ModeSet}
}

// Default returns the configuration of an empty file. It has no header rules.
func Default() *Config {
	usual := func() []Source {
		return []Source{{Kind: Local, Value: "local"}, {Kind: Tailnet, Value: "tailnet"}}
	}
	return &Config{
		Proxy: Proxy{
			ListenAddr:            "127.0.0.1:8080",
			UpstreamURL:           anthropic(),
			ConnectTimeout:        15 * time.Second,
			ResponseHeaderTimeout: 11 * time.Minute,
			IdleTimeout:           6 * time.Minute,
			MaxConnections:        1000,
			QueueLimit:            1000,
			QueueTimeout:          30 * time.Second,
			MaxRequestBody:        512 * mib,
			DrainTimeout:          5 * time.Second,
			HandoverTimeout:       time.Hour,
			Retry:                 Retry{Attempts: 3, Backoff: 100 * time.Millisecond, Memory: 64 * mib},
		},
		Tailscale: Tailscale{Required: true, WhenDown: Wait},
		Identity:  Gateways{Header: http.CanonicalHeaderKey(gatewayHeader)},
		Access:    Access{Allow: usual()},
		Metrics:   Metrics{Allow: usual(), TextfileInterval: 15 * time.Second},
		Log:       Log{Format: "auto", Identity: "full"},
	}
}
