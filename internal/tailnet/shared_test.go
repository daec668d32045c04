package tailnet

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// Questions that come while a call runs share the next one, and none gets the result of a call that
// began before it was asked.
func TestSharedCallsAreNotOlderThanTheirQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, gate := 0, make(chan struct{})
		s := newShared(func(context.Context) (int, error) {
			calls++
			n := calls
			<-gate
			return n, nil
		})
		results := make(chan int, 100)
		ask := func() {
			n, err := s.get(t.Context())
			if err != nil {
				t.Error(err)
			}
			results <- n
		}
		go ask()
		synctest.Wait() // the first call runs
		for range 50 {
			go ask()
		}
		synctest.Wait()
		close(gate)
		counts := map[int]int{}
		for range 51 {
			counts[<-results]++
		}
		if counts[1] != 1 || counts[2] != 50 {
			t.Errorf("calls and callers that got their results: %v", counts)
		}
	})
}

// A caller that leaves does not wait for its call, and does not end it for others.
func TestSharedCallOutlivesACaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		s := newShared(func(ctx context.Context) (int, error) {
			<-gate
			return 1, ctx.Err()
		})
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() { _, err := s.get(ctx); left <- err }()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that left got %v", err)
		}
		close(gate)
		if n, err := s.get(t.Context()); n != 1 || err != nil {
			t.Errorf("the next caller got %d, %v", n, err)
		}
	})
}
