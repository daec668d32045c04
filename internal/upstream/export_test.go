package upstream

// InUse is how many slots are taken.
func InUse(p *Pool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for c := range p.conns {
		n += c.inUse
	}
	return n
}
