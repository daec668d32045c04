package config

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// section is one type of block, bound to the fields of one Config. The sections below are the only
// place that says which names exist, what they take, and within which bounds.
type section struct {
	name       string
	attributes []attribute
	sections   []section
}

const (
	day         = 24 * time.Hour
	kib         = int64(1) << 10
	mib         = int64(1) << 20
	gib         = int64(1) << 30
	maxRequests = 1_000_000
)

// schema binds every block to c, except the header rules. The header section in it is there for its
// names: each rule has a section of its own.
func schema(c *Config) section {
	return section{sections: []section{
		proxySection(&c.Proxy),
		tailscaleSection(&c.Tailscale),
		{name: "identity", attributes: []attribute{
			list("from", "tag:aperture", &c.Identity.From, parseGateway, Source.String, nil),
			text("header", gatewayHeader, &c.Identity.Header, parsePersonHeader, strings.ToLower),
		}},
		{name: "access", attributes: []attribute{
			sources("allow", &c.Access.Allow, true),
			list("browsers", originExample, &c.Access.Browsers, parseOrigin, asIs, nil),
		}},
		headerSection(&Header{}),
		{name: "metrics", attributes: []attribute{
			sources("allow", &c.Metrics.Allow, false),
			path("textfile", &c.Metrics.Textfile, "/var/lib/oauth-proxyd-prometheus/node-exporter/oauth-proxyd.prom", ".prom"),
			duration("textfile_interval", &c.Metrics.TextfileInterval, 100*time.Millisecond, time.Hour),
		}},
		{name: "log", attributes: []attribute{
			level("level", &c.Log.Level),
			choice("format", &c.Log.Format, "auto", "journal", "text", "json"),
			choice("identity", &c.Log.Identity, "full", "hashed", "none"),
		}},
	}}
}

func proxySection(p *Proxy) section {
	const shortest = 10 * time.Millisecond
	return section{
		name: "proxy",
		attributes: []attribute{
			text("listen_addr", p.ListenAddr, &p.ListenAddr, parseListenAddr, asIs).needsRestart(),
			upstreamURL("upstream_url", &p.UpstreamURL),
			caFile("upstream_ca_file", p),
			proxies("upstream_proxy", &p.UpstreamProxies),
			duration("connect_timeout", &p.ConnectTimeout, shortest, 5*time.Minute),
			duration("response_header_timeout", &p.ResponseHeaderTimeout, shortest, day),
			duration("idle_timeout", &p.IdleTimeout, shortest, day),
			count("max_connections", &p.MaxConnections, 1, maxRequests),
			count("max_connections_per_person", &p.MaxConnectionsPerPerson, 0, maxRequests),
			count("queue_limit", &p.QueueLimit, 0, maxRequests),
			duration("queue_timeout", &p.QueueTimeout, shortest, time.Hour),
			size("max_request_body", &p.MaxRequestBody, 1, 1024*gib),
			duration("drain_timeout", &p.DrainTimeout, shortest, time.Hour),
			duration("handover_timeout", &p.HandoverTimeout, shortest, day),
		},
		sections: []section{{name: "retry", attributes: []attribute{
			count("attempts", &p.Retry.Attempts, 1, 10),
			duration("backoff", &p.Retry.Backoff, time.Millisecond, time.Minute),
			size("memory", &p.Retry.Memory, kib, 64*gib),
		}}},
	}
}

func tailscaleSection(t *Tailscale) section {
	return section{name: "tailscale", attributes: []attribute{
		boolean("required", &t.Required),
		choice("when_down", &t.WhenDown, Wait, Exit),
		path("socket", &t.Socket, "/run/tailscale/tailscaled.sock", "").needsRestart(),
	}}
}

func headerSection(h *Header) section {
	h.Mode = ModeSet
	return section{
		name: "header",
		attributes: []attribute{
			headerValue("value", &h.Value),
			choice("mode", &h.Mode, ModeSet, ModeMerge, ModeDefault, ModeRemove),
		},
		sections: []section{whenSection(&h.When)},
	}
}

func whenSection(w *When) section {
	return section{name: "when", attributes: []attribute{
		condition("bearer_prefix", "sk-ant-oat", &w.BearerPrefix, bearerPrefix),
		condition("path_prefix", "/v1/", &w.PathPrefix, pathPrefix),
		condition("user_agent_prefix", "claude-cli/", &w.UserAgentPrefix, agentPrefix),
		condition("listener", "proxy", &w.Listener, listenerName),
	}}
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

// names lists what the block takes.
func (s section) names() []string {
	var names []string
	for _, a := range s.attributes {
		names = append(names, a.name)
	}
	for _, sub := range s.sections {
		names = append(names, sub.name)
	}
	return names
}

// flatten lists the attributes of s and below, in order, each with its path.
func (s section) flatten(parent string) []attribute {
	var all []attribute
	for _, a := range s.attributes {
		a.path = dotted(parent, a.name)
		all = append(all, a)
	}
	for _, sub := range s.sections {
		all = append(all, sub.flatten(dotted(parent, sub.name))...)
	}
	return all
}

func dotted(parent, name string) string { return strings.TrimPrefix(parent+"."+name, ".") }

// unknown reports a name that the block at path does not take.
func (d *decoder) unknown(s section, path, kind, name string, at hcl.Range) {
	if d.full() {
		return // suggesting names for thousands takes seconds
	}
	block := slices.ContainsFunc(s.sections, func(sub section) bool { return sub.name == name })
	switch {
	case block:
		d.report(at, quote(name)+" is a block, not an attribute", "write "+name+" { … }, without the equals sign")
	case slices.Contains(s.names(), name):
		d.report(at, quote(name)+" is an attribute, not a block", "write "+name+" = …")
	default:
		d.report(at, cmp.Or(path, "the file")+" has no "+kind+" "+quote(name), d.suggest(s, path, name))
	}
}

// suggest guesses what an unknown name means: a similar name in the same block, the same one or the
// beginning of one in another, or else whatever the block takes.
func (d *decoder) suggest(s section, path, name string) string {
	if hint := DidYouMean(name, s.names()); hint != "" {
		return hint
	}
	meant := func(other string) bool { return other == fold(name) || strings.HasPrefix(other, fold(name)+"_") }
	for _, a := range d.schema.flatten("") {
		names := strings.Split(a.path, ".")
		switch i := slices.IndexFunc(names, meant); {
		case i == 0:
			return "the " + names[0] + " block belongs outside of all blocks"
		case i > 0:
			return names[i] + " belongs in the " + strings.Join(names[:i], ".") + " block"
		}
	}
	return cmp.Or(path, "the file") + " takes " + strings.Join(s.names(), ", ")
}
