package doctor

import (
	"context"
	"time"
)

// Limits of checks.
const (
	shortLimit    = 5 * time.Second  // something on this host
	networkLimit  = 10 * time.Second // something that asks the network
	upstreamLimit = 20 * time.Second
	throughLimit  = 45 * time.Second // less than a probe lives
)

// check is one step of the way.
type check struct {
	name  string
	limit time.Duration
	run   func(context.Context, *exam) []Finding
}

// checks are all of them in the order in which a request travels. A check that does
// not apply finds nothing.
func checks() []check {
	return []check{
		{"config", shortLimit, checkConfig},
		{"systemd", shortLimit, checkUnits},
		{"sockets", networkLimit, checkSockets},
		{"daemon", shortLimit, checkDaemon},
		{"tailscaled", networkLimit, checkTailscaled},
		{"node key", shortLimit, checkKey},
		{"tailscaled health", shortLimit, checkHealth},
		{"shields up", networkLimit, checkShields},
		{"magicdns", networkLimit, checkMagicDNS},
		{"serve", networkLimit, checkServe},
		{"tailnet listener", networkLimit, checkListener},
		{"peer", networkLimit, checkPeer},
		{"access", networkLimit, checkAccess},
		{"ip filter", shortLimit, checkFilter},
		{"header rules", shortLimit, checkRules},
		{"way out", shortLimit, checkWayOut},
		{"upstream", upstreamLimit, checkUpstream},
		{"gateway", throughLimit, checkGateway},
	}
}
