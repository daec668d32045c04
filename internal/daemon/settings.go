package daemon

import (
	"oauth-proxyd/internal/access"
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
		Access: access.Rules{Allow: accessRules(c.Access.Allow).Allow, Browsers: c.Access.Browsers},
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

func accessRules(sources []config.Source) access.Rules {
	var a access.Rules
	for _, s := range sources {
		a.Allow = append(a.Allow, grant(s))
	}
	return a
}

func grant(s config.Source) access.Grant {
	switch s.Kind {
	case config.Local:
		return access.Grant{Source: access.SourceLocal}
	case config.Tailnet:
		return access.Grant{Source: access.SourceTailnet}
	case config.Proxied:
		return access.Grant{Source: access.SourceProxied}
	case config.User:
		return access.Grant{User: s.Value}
	case config.Tag:
		return access.Grant{Tag: s.Value}
	case config.CIDR:
		return access.Grant{Prefix: s.Prefix}
	case config.Capability:
		return access.Grant{Capability: s.Value}
	default:
		return access.Grant{Node: s.Value}
	}
}
