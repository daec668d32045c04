package upstream

import (
	"crypto/tls"
	"net/netip"
	"time"
)

// The steps of making a connection.
const (
	StepName      = "name"      // looking a name up
	StepAddress   = "address"   // connecting to one address
	StepTunnel    = "tunnel"    // asking a proxy to connect to the upstream
	StepHandshake = "handshake" // TLS with the upstream
)

// Step reports a finished step of making a connection.
type Step struct {
	Part string
	// To is the name, the address, or host:port of the proxy or the upstream.
	To   string
	Took time.Duration
	Err  error // nil: it succeeded
	// Addresses are what the name resolved to.
	Addresses []netip.Addr
	// TLS is the result of the handshake.
	TLS tls.ConnectionState
}

// observe reports a step that began at start to Config.Observe.
func (d *dialer) observe(start time.Time, s Step) {
	if d.Observe != nil {
		s.Took = time.Since(start)
		d.Observe(s)
	}
}

// Route says how connections reach the upstream at present.
type Route struct {
	// Proxy is the host and port of the HTTP CONNECT proxy; empty: connections are direct.
	Proxy string
	// Since is when the route came into use; zero: not yet.
	Since time.Time
	// Connections is how many are open, including idle ones.
	Connections int
}

// Route returns the present route. Before the first connection, that is the first proxy.
func (p *Pool) Route() Route {
	p.mu.Lock()
	r := Route{Connections: len(p.conns)}
	p.mu.Unlock()
	working := p.dialer.working.Load()
	r.Since = working.since
	if len(p.dialer.Proxies) > 0 {
		r.Proxy = p.dialer.Proxies[working.index].Host
	}
	return r
}

// workingRoute is the route of the last connection.
type workingRoute struct {
	index int // of the proxy; 0 without proxies
	since time.Time
}

// keep makes later connections try that proxy first.
func (d *dialer) keep(index int) {
	if last := d.working.Load(); last.index != index || last.since.IsZero() {
		d.working.Store(&workingRoute{index: index, since: time.Now()})
	}
}
