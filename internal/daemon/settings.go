package daemon

import (
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/upstream"
)

// ProxySettings says the configuration in the words of package proxy. How the log names
// people is left to the daemon, which has the key.
func ProxySettings(c *config.Config) proxy.Settings {
	return proxy.Settings{
		Upstream: upstream.Config{
			URL: c.Proxy.UpstreamURL, RootCAs: c.Proxy.UpstreamCAs,
			Proxies: c.Proxy.UpstreamProxies, ConnectTimeout: c.Proxy.ConnectTimeout,
		},
		Timeouts: proxy.Timeouts{ResponseHeader: c.Proxy.ResponseHeaderTimeout, Idle: c.Proxy.IdleTimeout},
		Limits: proxy.Limits{
			InFlight: c.Proxy.MaxConnections, PerClient: c.Proxy.MaxConnectionsPerClient,
			Queue: c.Proxy.QueueLimit, QueueTimeout: c.Proxy.QueueTimeout, RequestBody: c.Proxy.MaxRequestBody,
		},
		Retry: proxy.Retry{
			Attempts: c.Proxy.Retry.Attempts, Backoff: c.Proxy.Retry.Backoff, Memory: c.Proxy.Retry.Memory,
		},
		Rules:  headerRules(c.Headers),
		Access: proxy.Access{Allow: access(c.Access.Allow).Allow, Browsers: c.Access.Browsers},
	}
}

func headerRules(headers []config.Header) []proxy.HeaderRule {
	rules := make([]proxy.HeaderRule, 0, len(headers))
	for _, h := range headers {
		rules = append(rules, proxy.HeaderRule{
			Name: h.Name, Value: h.Value, Mode: headerMode(h.Mode), When: proxy.Condition(h.When),
		})
	}
	return rules
}

func headerMode(m config.Mode) proxy.Mode {
	switch m {
	case config.Merge:
		return proxy.ModeMerge
	case config.AddAbsent:
		return proxy.ModeDefault
	case config.Remove:
		return proxy.ModeRemove
	default:
		return proxy.ModeSet
	}
}

func access(sources []config.Source) proxy.Access {
	var a proxy.Access
	for _, s := range sources {
		a.Allow = append(a.Allow, grant(s))
	}
	return a
}

func grant(s config.Source) proxy.Grant {
	switch s.Kind {
	case config.Local:
		return proxy.Grant{Source: proxy.SourceLocal}
	case config.Tailnet:
		return proxy.Grant{Source: proxy.SourceTailnet}
	case config.Proxied:
		return proxy.Grant{Source: proxy.SourceProxied}
	case config.User:
		return proxy.Grant{User: s.Value}
	case config.Tag:
		return proxy.Grant{Tag: s.Value}
	case config.CIDR:
		return proxy.Grant{Prefix: s.Prefix}
	case config.Capability:
		return proxy.Grant{Capability: s.Value}
	default:
		return proxy.Grant{Node: s.Value}
	}
}
