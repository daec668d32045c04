package fakeupstream

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
)

// TestGate closes the gate on a handler at work, which a client cannot do at
// an exact moment.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		work, closed := make(chan struct{}), make(chan struct{})
		guarded := g.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-work }))
		call := func() {
			guarded.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		}
		go call()
		synctest.Wait()
		go func() {
			g.closeAndWait()
			close(closed)
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("closed while a handler is at work")
		default:
		}
		if err := recovered(call); !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("a handler behind a closed gate ended with %v, want an abort", err)
		}
		close(work)
		<-closed
	})
}

// recovered runs f and returns the error that it panicked with.
func recovered(f func()) (err error) {
	defer func() { err, _ = recover().(error) }()
	f()
	return nil
}
