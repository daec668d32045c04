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
		s := shared[int]{call: func(context.Context) (int, error) {
			calls++
			n := calls
			<-gate
			return n, nil
		}}
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
			t.Errorf("calls and those who got their results: %v", counts)
		}
	})
}

// A call ends when nobody waits for it, and the next question gets one of its own.
func TestSharedCallEndsWithItsQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := 0
		s := shared[int]{call: func(ctx context.Context) (int, error) {
			began++
			if began == 1 {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return began, nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 2)
		for range 2 {
			go func() { _, err := s.get(ctx); failed <- err }()
			synctest.Wait() // the first runs, the second waits for the next call
		}
		cancel()
		for range 2 {
			if err := <-failed; !errors.Is(err, context.Canceled) {
				t.Errorf("the question ended with %v", err)
			}
		}
		if n, err := s.get(t.Context()); n != 2 || err != nil {
			t.Errorf("the next question got %d, %v", n, err)
		}
	})
}
