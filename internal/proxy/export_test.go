package proxy

import (
	"net/netip"
)

// MemoryUsed is what all request bodies together keep.
func MemoryUsed(p *Proxy) int64 { return p.memory.used.Load() }

// SetSocketOwner has owner stand in for the kernel.
func SetSocketOwner(p *Proxy, owner func(local, remote netip.AddrPort) (uint32, bool, error)) {
	p.access.OwnerOf = owner
}
