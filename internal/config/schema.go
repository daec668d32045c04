package config

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
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
// bounds.
func schema(c *Config) []attribute {
	p, t := &c.Proxy, &c.Tailscale
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
	}, headerSchema(&Header{}), []attribute{
		sources("metrics.allow", &c.Metrics.Allow, false),
		filePath("metrics.textfile", &c.Metrics.Textfile, "/var/lib/oauth-proxyd-prometheus/node-exporter/oauth-proxyd.prom", ".prom"),
		duration("metrics.textfile_interval", &c.Metrics.TextfileInterval, 100*time.Millisecond, time.Hour),

		level("log.level", &c.Log.Level),
		choice("log.format", &c.Log.Format, "auto", "journal", "text", "json"),
		choice("log.identity", &c.Log.Identity, "full", "hashed", "none"),
	})
}

func headerSchema(h *Header) []attribute {
	h.Mode = ModeSet
	return []attribute{
		headerValue("header.value", &h.Value),
		choice("header.mode", &h.Mode, ModeSet, ModeMerge, ModeDefault, ModeRemove),
		condition("header.when.bearer_prefix", "sk-ant-oat", &h.When.BearerPrefix, bearerPrefix),
		condition("header.when.path_prefix", "/v1/", &h.When.PathPrefix, pathPrefix),
		condition("header.when.user_agent_prefix", "claude-cli/", &h.When.UserAgentPrefix, noSecret),
		condition("header.when.listener", "proxy", &h.When.Listener, noSecret),
	}
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

// names lists the attributes and blocks that a block takes; "" is the file.
func (d *decoder) names(block string) (names []string) {
	for _, a := range d.schema {
		below, ok := strings.CutPrefix(a.path, dotted(block, ""))
		name, _, _ := strings.Cut(below, ".")
		if ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// isBlock reports whether a path is that of a block.
func (d *decoder) isBlock(path string) bool {
	return slices.ContainsFunc(d.schema, func(a attribute) bool { return strings.HasPrefix(a.path, path+".") })
}

func dotted(parent, name string) string { return strings.TrimPrefix(parent+"."+name, ".") }

// unknown reports a name that the block does not take; path is for the message.
func (d *decoder) unknown(block, path, kind, name string, at hcl.Range) {
	if d.full() {
		return // suggesting names for thousands takes seconds
	}
	switch {
	case d.isBlock(dotted(block, name)):
		d.report(at, quote(name)+" is a block, not an attribute", "write "+name+" { … }, without the equals sign")
	case slices.Contains(d.names(block), name):
		d.report(at, quote(name)+" is an attribute, not a block", "write "+name+" = …")
	default:
		d.report(at, cmp.Or(path, "the file")+" has no "+kind+" "+quote(name), d.suggest(block, path, kind, name))
	}
}

// suggest guesses what an unknown name means: a similar name in the same block, the beginning of
// one of its kind in another, or else whatever the block takes.
func (d *decoder) suggest(block, path, kind, name string) string {
	takes := d.names(block)
	if hint := DidYouMean(name, takes); hint != "" {
		return hint
	}
	return cmp.Or(d.elsewhere(kind, name), cmp.Or(path, "the file")+" takes "+strings.Join(takes, ", "))
}

// elsewhere returns a hint at the block of the first name that begins with this one.
func (d *decoder) elsewhere(kind, beginning string) string {
	for _, a := range d.schema {
		names := strings.Split(a.path, ".")
		for i, name := range names {
			isBlock := i < len(names)-1
			switch {
			case isBlock != (kind == "block") || !strings.HasPrefix(name+"_", fold(beginning)+"_"):
			case i == 0:
				return "the " + name + " block belongs outside of all blocks"
			default:
				return name + " belongs in the " + strings.Join(names[:i], ".") + " block"
			}
		}
	}
	return ""
}
