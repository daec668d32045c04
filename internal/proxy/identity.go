package proxy

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// identityLife is how long an answer of WhoIs holds for a connection.
const identityLife = time.Minute

// identityCache holds what tailscaled said of a connection's peer.
type identityCache struct {
	mu     sync.Mutex
	id     Identity
	found  bool
	until  time.Time
	asking *inquiry // under way; nil: none is

	ownUntil time.Time // the same for whether the address is this host's
	own      bool
}

// inquiry is one question to tailscaled. One request asks it; those that come
// meanwhile wait for the same answer. Its other fields are valid once done is closed.
type inquiry struct {
	done  chan struct{}
	id    Identity
	found bool
	err   error
	left  bool // who asked went away: that is no answer for the others
}

// get asks once at a time; errors are not kept. ctx is that of the request which is
// behind ask.
func (k *identityCache) get(ctx context.Context, ask func() (Identity, bool, error)) (Identity, bool, error) {
	for {
		q, mine := k.inquire()
		if mine {
			k.answer(ctx, q, ask)
			return q.id, q.found, q.err
		}
		select {
		case <-q.done:
			if !q.left {
				return q.id, q.found, q.err
			}
		case <-ctx.Done():
			return Identity{}, false, context.Cause(ctx)
		}
	}
}

// inquire gives what is known, or the question under way, or a new one to be asked
// by the caller.
func (k *identityCache) inquire() (q *inquiry, mine bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	q = &inquiry{done: make(chan struct{})}
	switch {
	case time.Now().Before(k.until):
		q.id, q.found = k.id, k.found
		close(q.done)
		return q, false
	case k.asking != nil:
		return k.asking, false
	default:
		k.asking = q
		return q, true
	}
}

// answer asks and tells all who wait.
func (k *identityCache) answer(ctx context.Context, q *inquiry, ask func() (Identity, bool, error)) {
	q.left = true // if ask panics
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.asking = nil
		close(q.done)
	}()
	id, found, err := ask()
	q.id, q.found, q.err, q.left = id, found, err, ctx.Err() != nil
	if err == nil {
		k.keep(id, found)
	}
}

func (k *identityCache) keep(id Identity, found bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.id, k.found, k.until = id, found, time.Now().Add(identityLife)
}

// fromOwnAddress reports whether addr is one of this host's.
func (c *clientConn) fromOwnAddress(addr netip.Addr) bool {
	k := &c.identity
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Now().Before(k.ownUntil) {
		return k.own
	}
	own, err := net.InterfaceAddrs()
	k.own = err == nil && slices.ContainsFunc(own, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == addr
	})
	k.ownUntil = time.Now().Add(identityLife)
	return k.own
}
