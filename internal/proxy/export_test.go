package proxy

import (
	"fmt"
	"net/http"
	"net/netip"
)

// MemoryUsed is what all request bodies together keep.
func MemoryUsed(p *Proxy) int64 { return p.memory.used.Load() }

// SetSocketOwner has owner stand in for the kernel.
func SetSocketOwner(p *Proxy, owner func(local, remote netip.AddrPort) (uint32, bool, error)) {
	p.access.OwnerOf = owner
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

// Add reads the header of a response.
func (a *accounts) Add(h http.Header) { a.add(h) }
