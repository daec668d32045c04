package selftest

import (
	"net/url"
	"strings"
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/upstream"
)

// shortestTimeout is the least that a probe is held to.
const shortestTimeout = time.Second

// onLoopback is s but for where requests go and who may send them: the test's own
// upstream, and this host. "proxied" is there as requests with spoofed headers count
// as that.
func onLoopback(s proxy.Settings, target *url.URL, certificate []byte) proxy.Settings {
	s.Upstream = upstream.Config{
		URL: target, RootCAs: certificate,
		ConnectTimeout: max(s.Upstream.ConnectTimeout, shortestTimeout),
	}
	s.Timeouts.ResponseHeader = max(s.Timeouts.ResponseHeader, shortestTimeout)
	s.Timeouts.Idle = max(s.Timeouts.Idle, shortestTimeout)
	s.Limits.QueueTimeout = max(s.Limits.QueueTimeout, shortestTimeout)
	s.Access = access.Rules{Allow: []access.Grant{{Source: access.SourceLocal}, {Source: access.SourceProxied}}}
	return s
}

// ruleText is a rule in the words that every command uses for it.
type ruleText struct {
	name, does string
	hidden     bool // its value is not to be shown
}

// ruleTexts has them in the order of the configuration: each rule is a change
// from one without rules.
func ruleTexts(c *config.Config) []ruleText {
	bare := *c
	bare.Headers = nil
	var texts []ruleText
	for _, change := range config.Diff(&bare, c) {
		texts = append(texts, ruleText{
			name: change.Path, does: change.New,
			hidden: strings.HasSuffix(change.New, "(value not shown)"),
		})
	}
	return texts
}
