package doctor

import (
	"cmp"
	"context"
	"slices"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/tailnet"
)

// Config says what to check.
type Config struct {
	// File is the name of the configuration file, and Load reads it. If only the service refuses
	// the file, Load returns both a configuration and an error.
	File string
	Load func() (*config.Config, error)
	// Daemon is the running daemon to ask.
	Daemon admin.Client
	// Version of this program.
	Version string
	// Peer is the node of the tailnet whose access is to be checked; empty: none.
	Peer string
	// Through is the URL of the gateway through which a probe is to be sent; empty: none.
	Through string
	// Paste asks for the configuration of a gateway and of Claude Code.
	Paste bool
	// Report, if not nil, gets each finding as soon as it is made.
	Report func(Finding)

	systemd func(context.Context) (units, error) // nil: askUnits
}

// Run makes all checks. If everything hangs, it takes about two minutes, the sum of their limits.
func Run(ctx context.Context, c Config) *Report {
	x := &facts{Config: c, report: &Report{OK: true}}
	x.askDaemon(ctx)
	for _, check := range checks() {
		x.run(ctx, check)
	}
	return x.report
}

func (x *facts) askDaemon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, shortLimit)
	defer cancel()
	s, err := x.Daemon.Status(ctx)
	x.daemonErr = err
	if err == nil {
		x.daemon = &s
	}
}

func (x *facts) run(ctx context.Context, c check) {
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

// failed reports whether a check has found a fault.
func (x *facts) failed(check string) bool {
	return slices.ContainsFunc(x.report.Findings, func(f Finding) bool { return f.Check == check && f.Status == Fail })
}

// facts holds what the checks know so far.
type facts struct {
	Config
	report *Report

	daemon    *admin.Status // nil: it did not respond
	daemonErr error         // why

	settings *config.Config // nil: refused or not readable
	refused  bool           // it has errors
	units    units
	responds bool // the daemon, on one of its sockets

	client  *tailnet.Client
	node    tailnet.Status   // empty: tailscaled did not respond
	network *tailnet.Network // nil: likewise
	prefs   *tailnet.Prefs   // nil: likewise
	served  bool             // tailscale serve or Funnel leads to the daemon
}

// onTailnet reports whether this node is connected to its tailnet.
func (x *facts) onTailnet() bool { return x.node.Backend == "Running" }

// find returns the peer that a name, an address or an ID means, if it is exactly one.
func (x *facts) find(name string) (peer tailnet.Node, found bool) {
	if x.network != nil {
		if peers := x.network.Find(name); len(peers) == 1 {
			return peers[0], true
		}
	}
	return peer, false
}

// Limits of checks.
const (
	shortLimit    = 5 * time.Second  // something on this host
	networkLimit  = 10 * time.Second // something that asks the network
	upstreamLimit = 20 * time.Second
	throughLimit  = 45 * time.Second // less than a probe lives
)

// check is one step of the request path.
type check struct {
	name  string
	limit time.Duration
	run   func(context.Context, *facts) []Finding
}

// checks returns all checks in the order in which a request travels. A check that does not apply
// returns no finding.
func checks() []check {
	return []check{
		{"config", shortLimit, checkConfig},
		{"systemd", shortLimit, checkUnits},
		{"sockets", networkLimit, checkSockets},
		{"daemon", shortLimit, checkDaemon},
		{"tailscaled", networkLimit, checkTailscaled},
		{"node key", shortLimit, checkKey},
		{"shields up", networkLimit, checkShields},
		{"magicdns", networkLimit, checkMagicDNS},
		{"serve", networkLimit, checkServe},
		{"tailnet listener", networkLimit, checkListener},
		{"peer", networkLimit, checkPeer},
		{"refused peers", networkLimit, checkRefusals},
		{"access", networkLimit, checkAccess},
		{"ip filter", shortLimit, checkFilter},
		{"header rules", shortLimit, checkRules},
		{"egress", shortLimit, checkEgress},
		{"upstream", upstreamLimit, checkUpstream},
		{"daemon", shortLimit, checkWarnings},
		{"gateway", throughLimit, checkGateway},
		{"paste", shortLimit, checkPaste},
	}
}
