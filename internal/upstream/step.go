package upstream

import (
	"crypto/tls"
	"net/netip"
	"time"
)

// The parts of making a connection.
const (
	StepName      = "name"      // looking a name up
	StepAddress   = "address"   // connecting to one address
	StepTunnel    = "tunnel"    // having a proxy connect to the upstream
	StepHandshake = "handshake" // TLS with the upstream
)

// Step is one part of making a connection, once it has ended.
type Step struct {
	Part string
	// To is the name, the address, or the host and port of the proxy or the upstream.
	To   string
	Took time.Duration
	Err  error // nil: it succeeded
	// Addresses are those of the name.
	Addresses []netip.Addr
	// TLS is what the handshake agreed on.
	TLS tls.ConnectionState
}

// observe tells Config.Observe of a part that began at start.
func (d *dialer) observe(start time.Time, s Step) {
	if d.Observe != nil {
		s.Took = time.Since(start)
		d.Observe(s)
	}
}

// Route is how connections get to the upstream at present.
type Route struct {
	// Proxy is the host and port of the HTTP CONNECT proxy; empty: connections are direct.
	Proxy string
	// Since is when it was first used, without another one in between; zero: not yet.
	Since time.Time
	// Connections are open, idle ones included.
	Connections int
}

// Route tells which of the proxies is used. Before any is, that is the first.
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

// workingRoute is the one that was connected over last.
type workingRoute struct {
	index int // of the proxy; 0 where there is none
	since time.Time
}

// keep has later connections begin with that proxy.
func (d *dialer) keep(index int) {
	if last := d.working.Load(); last.index != index || last.since.IsZero() {
		d.working.Store(&workingRoute{index: index, since: time.Now()})
	}
}
