package tailnet

import (
	"context"
	"sync"
)

// shared has those who ask at the same time share one call. Each gets the result of a call that
// began after it asked, so that the result is never older than the question: 500 connections that
// come at once cost a few calls instead of 500.
type shared[T any] struct {
	call func(context.Context) (T, error)

	mu   sync.Mutex
	next *attempt[T] // the one that has not begun; nil: nobody waits for one
	busy bool        // one runs
}

// attempt is one call, and those who wait for it.
type attempt[T any] struct {
	ctx     context.Context
	cancel  context.CancelFunc
	waiting int // guarded by the lock of shared
	done    chan struct{}
	value   T
	err     error
}

// get waits for a call, or for the end of ctx. A call that nobody waits for any more is cancelled.
func (s *shared[T]) get(ctx context.Context) (T, error) {
	a := s.join()
	defer s.leave(a)
	select {
	case <-a.done:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

func (s *shared[T]) join() *attempt[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = &attempt[T]{done: make(chan struct{})}
		s.next.ctx, s.next.cancel = context.WithCancel(context.Background()) //nolint:gosec // leave calls it
	}
	s.next.waiting++
	if !s.busy {
		s.busy = true
		go s.run()
	}
	return s.next
}

func (s *shared[T]) leave(a *attempt[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.waiting--; a.waiting > 0 {
		return
	}
	a.cancel()
	if s.next == a {
		s.next = nil // others must not get what was cancelled
	}
}

// run makes one call after the other until nobody waits.
func (s *shared[T]) run() {
	for {
		s.mu.Lock()
		a := s.next
		s.next, s.busy = nil, a != nil
		s.mu.Unlock()
		if a == nil {
			return
		}
		a.value, a.err = s.call(a.ctx)
		close(a.done)
	}
}
