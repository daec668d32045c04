package proxy

import "net/http"

// MemoryUsed is what all request bodies together keep.
func MemoryUsed(p *Proxy) int64 { return p.memory.used.Load() }

// Accounts aggregates rate-limit headers.
type Accounts = accounts

// NewAccounts begins with none.
func NewAccounts() *Accounts { return newAccounts() }

// Note reads the header of an answer.
func (a *accounts) Note(h http.Header) { a.note(h) }

// ReportProgress has all requests in flight reported as if they had lasted long.
func ReportProgress(p *Proxy) {
	for _, x := range p.flights.inFlight() {
		x.reportProgress()
	}
}
