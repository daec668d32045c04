package selftest

import (
	"context"
	"net/http"
	"slices"
	"time"

	"oauth-proxyd/internal/config"
)

// Run sends all requests and reports the results. An error means that the test itself could not be
// set up, for example for lack of a free port. What fails in the proxy is in the Report.
func Run(ctx context.Context, settings *config.Config) (*Report, error) {
	return test{settings: settings, patience: 5 * time.Second}.run(ctx)
}

// test is a configuration under test. Tests of this package put a fault around the proxy.
type test struct {
	settings *config.Config
	patience time.Duration // for one request, which takes milliseconds
	around   func(http.Handler) http.Handler
}

func (t test) run(ctx context.Context) (*Report, error) {
	r := &Report{}
	for _, listener := range listeners(t.settings) {
		for _, c := range clients() {
			c.Listener = listener
			if err := t.probe(ctx, &c); err != nil {
				return nil, err
			}
			c.judge()
			r.Clients = append(r.Clients, c)
		}
	}
	r.conclude()
	return r, nil
}

// listeners returns "proxy", the name of the shipped socket unit's listener, and those that rules
// name, in the order of the file.
func listeners(c *config.Config) []string {
	names := []string{"proxy"}
	for _, h := range c.Headers {
		if name := h.When.Listener; name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
