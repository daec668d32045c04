package upstream

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"time"
)

// The stages of making a connection.
const (
	StageName      = "name"      // looking a name up
	StageAddress   = "address"   // connecting to one address
	StageTunnel    = "tunnel"    // asking a proxy to connect to the upstream
	StageHandshake = "handshake" // TLS with the upstream
)

// Stage reports a finished stage of making a connection.
type Stage struct {
	Part string
	// To is the name, the address, or host:port of the proxy or the upstream.
	To   string
	Took time.Duration
	Err  error // nil: it succeeded
	// Addresses are what the name resolved to.
	Addresses []netip.Addr
	// TLS is the result of the handshake.
	TLS tls.ConnectionState
	// Silent reports that the server sent nothing in the handshake.
	Silent bool
}

// observe reports a stage that began at start to Config.Observe.
func (d *dialer) observe(start time.Time, s Stage) {
	if d.Observe != nil {
		s.Took = time.Since(start)
		d.Observe(s)
	}
}

// observed returns a context whose names and addresses are reported to Config.Observe.
func (d *dialer) observed(ctx context.Context) context.Context {
	if d.Observe == nil {
		return ctx
	}
	var name string
	var began sync.Map // the time, by name or address
	begin := func(to string) { began.Store(to, time.Now()) }
	end := func(s Stage) {
		start, _ := began.Load(s.To)
		d.observe(start.(time.Time), s)
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(i httptrace.DNSStartInfo) { name = i.Host; begin(name) },
		DNSDone: func(i httptrace.DNSDoneInfo) {
			s := Stage{Part: StageName, To: name, Err: i.Err}
			for _, found := range i.Addrs {
				addr, _ := netip.AddrFromSlice(found.IP)
				s.Addresses = append(s.Addresses, addr.Unmap())
			}
			end(s)
		},
		ConnectStart: func(_, address string) { begin(address) },
		ConnectDone:  func(_, address string, err error) { end(Stage{Part: StageAddress, To: address, Err: err}) },
	})
}
