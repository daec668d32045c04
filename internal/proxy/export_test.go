package proxy

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// MemoryUsed is what all request bodies together keep.
func MemoryUsed(p *Proxy) int64 { return p.memory.used.Load() }

// SetSocketOwner has owner stand in for the kernel.
func SetSocketOwner(p *Proxy, owner func(local, remote netip.AddrPort) (uint32, bool, error)) {
	p.access.ownerOf = owner
}

// Accounts aggregates rate-limit headers.
type Accounts = accounts

// NewAccounts begins with none.
func NewAccounts() *Accounts { return newAccounts() }

// KnownAccounts is by what the organizations are known, in hexadecimal.
func KnownAccounts(a *Accounts) (text string) {
	for id := range a.known {
		text += fmt.Sprintf("%x", id)
	}
	return text
}

// Note reads the header of an answer.
func (a *accounts) Note(h http.Header) { a.note(h) }

// ReportProgress has all requests in flight reported as if they had lasted long.
func ReportProgress(p *Proxy) {
	for _, x := range p.flights.inFlight() {
		x.reportProgress()
	}
}

// WrapDials has wrap change the connections to the upstream beneath all that the
// proxy sees of them.
func WrapDials(p *Proxy, wrap func(net.Conn) net.Conn) {
	replaceDial(p, func(ctx context.Context, nc net.Conn) net.Conn { return countFor(ctx, wrap(nc), &sync.Pool{}) })
}

// HideBytes has the proxy see none of what goes over its connections to the
// upstream.
func HideBytes(p *Proxy) {
	replaceDial(p, func(ctx context.Context, nc net.Conn) net.Conn {
		countFor(ctx, nc, &sync.Pool{})
		return nc
	})
}

// AskInVain has the proxy ask r, which knows nothing, for the address of its upstream.
func AskInVain(p *Proxy, r *net.Resolver) {
	p.current.Load().pool.dialer.transport.DialContext = (&net.Dialer{Resolver: r}).DialContext
}

// DialWith has the proxy reach its upstream through dial.
func DialWith(p *Proxy, dial func() net.Conn) {
	p.current.Load().pool.dialer.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return countFor(ctx, dial(), &sync.Pool{}), nil
	}
}

func replaceDial(p *Proxy, made func(context.Context, net.Conn) net.Conn) {
	p.current.Load().pool.dialer.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return made(ctx, nc), nil
	}
}

// Readable reports what a connection to the upstream would be told of itself.
func Readable(nc net.Conn) bool { return (&countedConn{Conn: nc}).readable() }
