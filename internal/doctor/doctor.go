package doctor

import (
	"cmp"
	"context"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/daemon"
	"oauth-proxyd/internal/tailnet"
)

// Config is what is looked at.
type Config struct {
	// File is the name of the configuration, and Load reads it.
	File string
	Load func() (*config.Config, error)
	// TailscaleSocket is where to look for tailscaled if the configuration cannot be
	// read; empty: Tailscale's own default.
	TailscaleSocket string
	// Version of this program.
	Version string
	// Peer names a node of the tailnet of which to say whether it gets in; empty: none.
	Peer string
	// Through is the URL of a gateway to send a request through; empty: none.
	Through string
	// Report, if not nil, is told of each finding when it is made.
	Report func(Finding)
}

// Run makes all checks. It takes as long as their limits together at most, about two
// minutes if everything hangs.
func Run(ctx context.Context, c Config) *Report {
	x := &exam{Config: c, report: &Report{OK: true}}
	x.daemon, x.daemonErr = askDaemon(ctx)
	for _, check := range checks() {
		x.make(ctx, check)
	}
	x.report.Aperture, x.report.ClaudeCode = x.paste()
	return x.report
}

func askDaemon(ctx context.Context) (*daemon.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, shortLimit)
	defer cancel()
	s, err := daemon.RequestStatusReport(ctx)
	if err != nil {
		return nil, err
	}
	return &s, nil
}

func (x *exam) make(ctx context.Context, c check) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	for _, f := range c.run(ctx, x) {
		f.Check = cmp.Or(f.Check, c.name)
		x.report.Findings = append(x.report.Findings, f)
		x.report.OK = x.report.OK && f.Status != Fail
		if x.Report != nil {
			x.Report(f)
		}
	}
}

// exam is what is known so far.
type exam struct {
	Config
	report *Report

	daemon    *daemon.Status // nil: it did not answer
	daemonErr error          // why

	settings *config.Config // nil: refused or not readable
	units    units

	client  *tailnet.Client
	node    tailnet.Status   // empty: tailscaled did not answer
	network *tailnet.Network // nil: likewise
	prefs   *tailnet.Prefs   // nil: likewise
	served  []tailnet.Published
}

// onTailnet reports whether this node is there for its peers.
func (x *exam) onTailnet() bool { return x.node.Backend == "Running" }

// inTime gives up waiting for work that heeds no context, such as reading a file that
// turns out to be a pipe. What it comes to after that is lost.
func inTime[T any](ctx context.Context, work func() T) (result T, done bool) {
	results := make(chan T, 1)
	go func() { results <- work() }()
	select {
	case result = <-results:
		return result, true
	case <-ctx.Done():
		return result, false
	}
}
