package selftest

import (
	"net/url"
	"strings"
	"time"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/proxy"
)

// shortestTimeout is the least that a probe is held to.
const shortestTimeout = time.Second

// onLoopback is c but for where requests go and who may send them: the test's own
// upstream, and this host. "proxied" is there as requests with spoofed headers count
// as that.
func onLoopback(c config.Config, target *url.URL, certificate []byte) proxy.Settings {
	p := &c.Proxy
	p.UpstreamURL, p.UpstreamCAs, p.UpstreamProxies = target, certificate, nil
	for _, timeout := range []*time.Duration{&p.ConnectTimeout, &p.ResponseHeaderTimeout, &p.IdleTimeout, &p.QueueTimeout} {
		*timeout = max(*timeout, shortestTimeout)
	}
	c.Access = config.Access{Allow: []config.Source{{Kind: config.Local}, {Kind: config.Proxied}}}
	return proxy.Settings{Config: c}
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
