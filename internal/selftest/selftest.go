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
	probed, err := c.probeAll(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{Clients: probed, Verdicts: verdicts(c.Settings, probed)}
	r.OK = !slices.ContainsFunc(r.Verdicts, func(v Verdict) bool { return v.Status == Fail })
	return r, nil
}

// probeAll sends the request of each client through each listener.
func (c Config) probeAll(ctx context.Context) ([]Client, error) {
	rules := rulesOf(c.Settings)
	var probed []Client
	for _, listener := range listeners(c.Settings) {
		for _, client := range clients() {
			client.Listener = listener
			if err := c.probe(ctx, &client, rules); err != nil {
				return nil, err
			}
			probed = append(probed, client)
		}
	}
	return probed, nil
}

// probe sends the request of a client in a lab of its own.
func (c Config) probe(ctx context.Context, client *Client, rules []Rule) error {
	l, err := openLab(c, client.Listener)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.patience, defaultPatience))
	defer cancel()
	failed := client.send(ctx, l)
	l.close() // now the proxy has recorded the request
	if err := client.record(l, rules); failed == nil {
		failed = err
	}
	if failed != nil {
		client.Error = failed.Error()
	}
	return nil
}

// listeners returns "proxy" and those that rules name, in the order of the file.
func listeners(c *config.Config) []string {
	names := []string{defaultListener}
	for _, h := range c.Headers {
		if name := h.When.Listener; name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// rulesOf returns the rules in the order of the configuration, as every command words them: each is
// a change from a configuration without rules.
func rulesOf(c *config.Config) (rules []Rule) {
	bare := *c
	bare.Headers = nil
	for i, change := range config.Diff(&bare, c) {
		rules = append(rules, Rule{
			Name: change.Path, Does: change.New, header: strings.ToLower(c.Headers[i].Name),
			hidden: strings.HasSuffix(change.New, "(value not shown)"),
		})
	}
	return rules
}
