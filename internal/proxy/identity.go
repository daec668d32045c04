package proxy

import (
	"context"
	"sync"
	"time"
)

// identityLife is how long it holds for a connection where it comes from, found or not.
const identityLife = time.Minute

// identityCache holds where a connection comes from, as it was proved.
type identityCache struct {
	mu     sync.Mutex
	latest *inquiry  // under way or answered; nil: none yet
	asking bool      // latest is under way
	until  time.Time // when the answer of latest no longer holds
}

// inquiry is one question to tailscaled. One request asks it; those that come
// meanwhile wait for the same answer. Its other fields are valid once done is closed.
type inquiry struct {
	done chan struct{}
	id   Identity
	err  error
	left bool // who asked went away, and nobody answered: the others ask again
}

// get asks once at a time; errors are not kept. ctx is that of the request which is
// behind ask.
func (k *identityCache) get(ctx context.Context, ask func() (Identity, error)) (Identity, error) {
	for {
		q, mine := k.inquire()
		if mine {
			k.answer(ctx, q, ask)
			return q.id, q.err
		}
		select {
		case <-q.done:
			if !q.left {
				return q.id, q.err
			}
		case <-ctx.Done():
			return Identity{}, context.Cause(ctx)
		}
	}
}

// inquire gives the question under way or the one whose answer holds, or else a new one
// to be asked by the caller.
func (k *identityCache) inquire() (q *inquiry, mine bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.asking || time.Now().Before(k.until) {
		return k.latest, false
	}
	k.latest, k.asking = &inquiry{done: make(chan struct{})}, true
	return k.latest, true
}

// answer asks and tells all who wait.
func (k *identityCache) answer(ctx context.Context, q *inquiry, ask func() (Identity, error)) {
	q.left = true // if ask panics
	var until time.Time
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.asking, k.until = false, until
		close(q.done)
	}()
	q.id, q.err = ask()
	q.left = q.err != nil && ctx.Err() != nil
	if q.err == nil {
		until = time.Now().Add(identityLife)
	}
}
