package proxy

// MemoryUsed is what all request bodies together keep.
func MemoryUsed(p *Proxy) int64 { return p.memory.used.Load() }
