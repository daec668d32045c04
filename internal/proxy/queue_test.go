package proxy

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"oauth-proxyd/internal/config"
)

func client(n byte) netip.Addr { return netip.AddrFrom4([4]byte{100, 64, 0, n}) }

// entrant is a request that enters a queue in a goroutine of its own.
type entrant struct {
	cancel context.CancelFunc
	done   chan error
}

// enterQueue enters for client and returns once that is decided or waits.
func enterQueue(t *testing.T, q *queue, c netip.Addr) *entrant {
	ctx, cancel := context.WithCancel(t.Context())
	e := &entrant{cancel: cancel, done: make(chan error, 1)}
	go func() { e.done <- q.enter(ctx, c, func() {}) }()
	synctest.Wait()
	return e
}

// outcome is "waits", "in" or the error.
func (e *entrant) outcome() string {
	synctest.Wait()
	select {
	case err := <-e.done:
		e.done <- err
		if err == nil {
			return "in"
		}
		return err.Error()
	default:
		return "waits"
	}
}

func outcomes(entrants ...*entrant) (all []string) {
	for _, e := range entrants {
		all = append(all, e.outcome())
	}
	return all
}

func wantOutcomes(t *testing.T, entrants []*entrant, want ...string) {
	t.Helper()
	if got := outcomes(entrants...); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestQueueAdmitsInTheOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(config.Proxy{MaxConnections: 1, QueueLimit: 3, QueueTimeout: time.Hour})
		var all []*entrant
		for i := range byte(4) {
			all = append(all, enterQueue(t, q, client(i)))
		}
		wantOutcomes(t, all, "in", "waits", "waits", "waits")
		q.leave(client(0))
		wantOutcomes(t, all, "in", "in", "waits", "waits")
		q.leave(client(1))
		wantOutcomes(t, all, "in", "in", "in", "waits")
		q.leave(client(2))
		q.leave(client(3))
		if in, waiting := q.counts(); in != 0 || waiting != 0 || len(q.clients) != 0 {
			t.Errorf("%d in, %d waiting, %d clients known at the end", in, waiting, len(q.clients))
		}
	})
}

func TestQueueRefusesBeyondItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(config.Proxy{MaxConnections: 1, QueueLimit: 1, QueueTimeout: time.Minute})
		all := []*entrant{enterQueue(t, q, client(0)), enterQueue(t, q, client(1)), enterQueue(t, q, client(2))}
		wantOutcomes(t, all, "in", "waits", errQueueFull.Error())
		time.Sleep(time.Minute)
		wantOutcomes(t, all, "in", errQueueTimeout.Error(), errQueueFull.Error())
		if in, waiting := q.counts(); in != 1 || waiting != 0 {
			t.Errorf("%d in, %d waiting after the timeout", in, waiting)
		}
	})
}

func TestQueueSlotOfOneThatLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(config.Proxy{MaxConnections: 1, QueueLimit: 2, QueueTimeout: time.Minute})
		all := []*entrant{enterQueue(t, q, client(0)), enterQueue(t, q, client(1)), enterQueue(t, q, client(2))}
		all[1].cancel()
		wantOutcomes(t, all, "in", context.Canceled.Error(), "waits")
		all = append(all, enterQueue(t, q, client(3)))
		q.leave(client(0))
		wantOutcomes(t, all, "in", context.Canceled.Error(), "in", "waits")
		all[3].cancel()
		synctest.Wait()
	})
}

func TestQueueLimitsEachClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(config.Proxy{MaxConnections: 3, MaxConnectionsPerClient: 1, QueueLimit: 9, QueueTimeout: time.Minute})
		all := []*entrant{
			enterQueue(t, q, client(0)), enterQueue(t, q, client(0)), enterQueue(t, q, client(0)), enterQueue(t, q, client(1)),
		}
		wantOutcomes(t, all, "in", "waits", "waits", "in")
		q.leave(client(1))
		wantOutcomes(t, all, "in", "waits", "waits", "in")
		q.leave(client(0))
		wantOutcomes(t, all, "in", "in", "waits", "in")
		all[2].cancel()
		synctest.Wait()
	})
}

// A client that has all its places does not hold up those behind it.
func TestQueuePassesOverAFullClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(config.Proxy{MaxConnections: 2, MaxConnectionsPerClient: 1, QueueLimit: 9, QueueTimeout: time.Minute})
		all := []*entrant{
			enterQueue(t, q, client(0)), enterQueue(t, q, client(1)), enterQueue(t, q, client(0)), enterQueue(t, q, client(2)),
		}
		wantOutcomes(t, all, "in", "in", "waits", "waits")
		q.leave(client(1))
		wantOutcomes(t, all, "in", "in", "waits", "in")
		all[2].cancel()
		synctest.Wait()
	})
}

func TestQueueIsResizedInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := config.Proxy{MaxConnections: 1, QueueLimit: 9, QueueTimeout: time.Minute}
		q := newQueue(l)
		all := []*entrant{enterQueue(t, q, client(0)), enterQueue(t, q, client(1)), enterQueue(t, q, client(2)), enterQueue(t, q, client(3))}
		l.MaxConnections = 3
		q.resize(l)
		wantOutcomes(t, all, "in", "in", "in", "waits")
		l.MaxConnections = 1
		q.resize(l)
		q.leave(client(0))
		q.leave(client(1))
		wantOutcomes(t, all, "in", "in", "in", "waits")
		q.leave(client(2))
		wantOutcomes(t, all, "in", "in", "in", "in")
	})
}

// FuzzQueue holds the invariants under many clients at once: never more in than may be, in all and
// by client, and nothing left at the end.
func FuzzQueue(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(2), uint8(4))
	f.Add(uint64(2), uint8(1), uint8(0), uint8(0))
	f.Add(uint64(3), uint8(8), uint8(1), uint8(30))
	f.Fuzz(func(t *testing.T, seed uint64, inFlight, perClient, waiting uint8) {
		l := config.Proxy{MaxConnections: int(inFlight%16) + 1, MaxConnectionsPerClient: int(perClient % 8), QueueLimit: int(waiting % 64), QueueTimeout: time.Millisecond}
		q := newQueue(l)
		var in atomic.Int64
		perAddr := make([]atomic.Int64, 4)
		var work sync.WaitGroup
		for i := range 32 {
			rnd := rand.New(rand.NewPCG(seed, uint64(i)))
			work.Go(func() {
				for range 20 {
					visit(t, q, l, rnd, &in, perAddr)
				}
			})
		}
		work.Wait()
		if in, waiting := q.counts(); in != 0 || waiting != 0 || len(q.clients) != 0 {
			t.Errorf("%d in, %d waiting, %d clients known at the end", in, waiting, len(q.clients))
		}
	})
}

// visit enters once, maybe for a short time only, and leaves.
func visit(t *testing.T, q *queue, l config.Proxy, rnd *rand.Rand, in *atomic.Int64, perAddr []atomic.Int64) {
	n := rnd.IntN(len(perAddr))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := q.enter(ctx, client(byte(n)), func() {
		if rnd.IntN(2) == 0 {
			cancel()
		}
	})
	if err != nil {
		if !errors.Is(err, errQueueFull) && !errors.Is(err, errQueueTimeout) && !errors.Is(err, context.Canceled) {
			t.Errorf("entering: %v", err)
		}
		return
	}
	if now := in.Add(1); now > int64(l.MaxConnections) {
		t.Errorf("%d in, %d may be", now, l.MaxConnections)
	}
	if now := perAddr[n].Add(1); l.MaxConnectionsPerClient > 0 && now > int64(l.MaxConnectionsPerClient) {
		t.Errorf("%d of one client in, %d may be", now, l.MaxConnectionsPerClient)
	}
	perAddr[n].Add(-1)
	in.Add(-1)
	q.leave(client(byte(n)))
}
