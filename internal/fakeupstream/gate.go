package fakeupstream

import (
	"net/http"
	"sync"
)

// gate counts the handlers at work. The HTTP/2 server of net/http starts one
// goroutine per stream and waits for none of them when its connection ends.
type gate struct {
	mu     sync.Mutex
	closed bool
	inside sync.WaitGroup
}

// guard passes a request on to next unless the gate is closed.
func (g *gate) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.enter() {
			panic(http.ErrAbortHandler)
		}
		defer g.inside.Done()
		next.ServeHTTP(w, r)
	})
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside.Add(1)
	return true
}

// closeAndWait lets nobody in any more and waits until all have left.
func (g *gate) closeAndWait() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.inside.Wait()
}
