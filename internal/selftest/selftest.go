package selftest

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/config"
)

const (
	// defaultPatience is how long one request may take. Each takes milliseconds.
	defaultPatience = 5 * time.Second
	// defaultListener is the name of the shipped socket unit's listener.
	defaultListener = "proxy"
)

// Config says what to test.
type Config struct {
	// Settings is the configuration under test.
	Settings *config.Config

	patience time.Duration                   // for one request; 0: defaultPatience
	around   func(http.Handler) http.Handler // a fault in front of the proxy; nil: none
}

// Run sends all requests and reports the results. An error means that the test itself could not be
// set up, for example for lack of a free port. What fails in the proxy is in the Report.
func Run(ctx context.Context, c Config) (*Report, error) {
	probes, err := c.probeAll(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{Verdicts: verdicts(c.Settings, probes)}
	for _, p := range probes {
		r.Clients = append(r.Clients, p.Client)
	}
	r.OK = !slices.ContainsFunc(r.Verdicts, func(v Verdict) bool { return v.Status == Fail })
	return r, nil
}

// probeAll sends the request of each client through each listener.
func (c Config) probeAll(ctx context.Context) ([]probe, error) {
	rules := ruleTexts(c.Settings)
	var probes []probe
	for _, listener := range listeners(c.Settings) {
		for _, client := range clients() {
			p := probe{
				client: client, Name: client.name, Listener: listener, Method: client.method, Target: client.target,
				Headers: []Header{}, Rules: []Rule{},
			}
			if err := c.send(ctx, &p, rules); err != nil {
				return nil, err
			}
			probes = append(probes, p)
		}
	}
	return probes, nil
}

// send runs one probe in a lab of its own.
func (c Config) send(ctx context.Context, p *probe, rules []ruleText) error {
	l, err := openLab(c, p.Listener)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.patience, defaultPatience))
	defer cancel()
	failed := p.run(ctx, l)
	l.close() // now the proxy has recorded the request
	if err := p.record(l, rules); failed == nil {
		failed = err
	}
	if failed != nil {
		p.Error = failed.Error()
	}
	return nil
}

// listeners are "proxy" and those that rules name, in the order of the file.
func listeners(c *config.Config) []string {
	names := []string{defaultListener}
	for _, h := range c.Headers {
		if name := h.When.Listener; name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// ruleText is a header rule as every command words it.
type ruleText struct {
	name, does string
	header     string // lower case
	hidden     bool   // its value is not to be shown
}

// ruleTexts has the rules in the order of the configuration: each is a change from a configuration
// without rules.
func ruleTexts(c *config.Config) []ruleText {
	bare := *c
	bare.Headers = nil
	var texts []ruleText
	for i, change := range config.Diff(&bare, c) {
		texts = append(texts, ruleText{
			name: change.Path, does: change.New, header: strings.ToLower(c.Headers[i].Name),
			hidden: strings.HasSuffix(change.New, "(value not shown)"),
		})
	}
	return texts
}
