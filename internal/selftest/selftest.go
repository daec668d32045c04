package selftest

import (
	"context"
	"net/http"
	"slices"
	"time"

	"oauth-proxyd/internal/config"
)

// defaultPatience is how long one probe may take. Each takes milliseconds.
const defaultPatience = 5 * time.Second

// Config is what is tested.
type Config struct {
	// Settings is the configuration under test, in its own words.
	Settings *config.Config

	patience time.Duration                   // for one probe; 0: defaultPatience
	around   func(http.Handler) http.Handler // a fault in front of the proxy; nil: none
}

// Run tries everything and returns what came of it. An error means that the test
// itself could not be set up, such as for want of a free port; what fails in the
// proxy is in the Report.
func Run(ctx context.Context, c Config) (*Report, error) {
	if c.patience == 0 {
		c.patience = defaultPatience
	}
	probes, err := c.tryClients(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{Verdicts: judgeClients(c.Settings, probes)}
	for _, p := range probes {
		r.Clients = append(r.Clients, p.Client)
	}
	for _, p := range properties() {
		for _, protocol := range protocols() {
			verdict, err := c.try(ctx, p, protocol)
			if err != nil {
				return nil, err
			}
			r.Verdicts = append(r.Verdicts, verdict)
		}
	}
	r.OK = !slices.ContainsFunc(r.Verdicts, func(v Verdict) bool { return v.Status == Fail })
	return r, nil
}

// tryClients sends the request of each typical client through each listener.
func (c Config) tryClients(ctx context.Context) ([]probe, error) {
	var probes []probe
	rules := ruleTexts(c.Settings)
	for _, listener := range listeners(c.Settings) {
		for _, client := range clients() {
			p := newProbe(client, listener)
			failed, err := c.inLab(ctx, protocolHTTP2, listener, func(ctx context.Context, l *lab) error {
				return p.run(ctx, l, rules)
			})
			if err != nil {
				return nil, err
			}
			if failed != nil {
				p.Error = failed.Error()
			}
			probes = append(probes, p)
		}
	}
	return probes, nil
}

// try has one property judged over one protocol.
func (c Config) try(ctx context.Context, p property, protocol string) (Verdict, error) {
	failed, err := c.inLab(ctx, protocol, defaultListener, p.check)
	return propertyVerdict(p.name, protocol, failed), err
}

// inLab runs a probe with a proxy and an upstream of its own, so that one that
// fails spoils no other. err is why there was none.
func (c Config) inLab(ctx context.Context, protocol, listener string, probe func(context.Context, *lab) error) (failed, err error) {
	l, err := openLab(c, protocol, listener)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	failed = probe(ctx, l)
	l.close() // what is still under way shows in the number
	if failed == nil {
		failed = l.countedRight()
	}
	return failed, nil
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
