package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
)

// ask is a request of a person in their only session.
func ask(person string) *ticket { return &ticket{person: person} }

// join has all of them come to the queue, one after the other.
func join(q *queue, tickets ...*ticket) []*ticket {
	for _, t := range tickets {
		q.join(t)
	}
	return tickets
}

const full = "the queue is full"

// state is "in", "waits" or why a ticket was refused.
func (t *ticket) state() string {
	switch {
	case t.node != nil:
		return "waits"
	case t.err != nil && strings.Contains(t.err.Error(), full):
		return full
	}
	return "in"
}

func wantStates(t *testing.T, tickets []*ticket, want ...string) {
	t.Helper()
	var got []string
	for _, one := range tickets {
		got = append(got, one.state())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// served has all that is in leave, again and again, and names those that get in by that in their
// order.
func served(q *queue, tickets []*ticket) (order []string) {
	left := make(map[*ticket]bool)
	for range tickets {
		was := make(map[*ticket]bool)
		for _, t := range tickets {
			was[t] = t.state() == "in"
		}
		i := slices.IndexFunc(tickets, func(t *ticket) bool { return was[t] && !left[t] })
		if i < 0 {
			return order
		}
		left[tickets[i]] = true
		q.leave(tickets[i])
		for _, t := range tickets {
			if t.state() == "in" && !was[t] {
				order = append(order, t.person+t.session)
			}
		}
	}
	return order
}

// oneSlot is a queue whose only slot is taken.
func oneSlot(limits config.Proxy) (q *queue, holder *ticket) {
	limits.MaxConnections, limits.QueueLimit = 1, 1000
	q = newQueue(limits)
	return q, join(q, ask("x"))[0]
}

func TestQueueOrder(t *testing.T) {
	two := access.Share{Weight: 2}
	heavy := func() *ticket { return &ticket{person: "heavy", share: two} }
	session := func(name string) *ticket { return &ticket{person: "a", session: name} }
	cases := []struct {
		name string
		come []*ticket
		want []string
	}{
		{"alone in the order of arrival", []*ticket{session("1"), session("1"), session("1")}, []string{"a1", "a1", "a1"}},
		{"persons in turn", []*ticket{ask("a"), ask("a"), ask("a"), ask("b"), ask("b"), ask("c")}, []string{"a", "b", "c", "a", "b", "a"}},
		{"sessions of a person in turn", []*ticket{session("1"), session("1"), session("1"), session("2")}, []string{"a1", "a2", "a1", "a1"}},
		{"sessions gain nothing", []*ticket{session("1"), session("2"), session("3"), ask("b"), ask("b")}, []string{"a1", "b", "a2", "b", "a3"}},
		{"by weight", []*ticket{heavy(), heavy(), heavy(), ask("b"), ask("b")}, []string{"heavy", "heavy", "b", "heavy", "b"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			q, holder := oneSlot(config.Proxy{})
			all := append([]*ticket{holder}, join(q, c.come...)...)
			next := q.next()
			if got := served(q, all); !slices.Equal(got, c.want) || next.person+next.session != c.want[0] {
				t.Errorf("served %q, first %s%s, want %q", got, next.person, next.session, c.want)
			}
		})
	}
}

// In a full queue, the newest request of the person with most waiting ones gives way.
func TestFullQueueTakesFromTheGreediest(t *testing.T) {
	q := newQueue(config.Proxy{MaxConnections: 1, QueueLimit: 3})
	all := join(q, ask("x"), ask("greedy"), ask("greedy"), ask("greedy"), ask("greedy"))
	wantStates(t, all, "in", "waits", "waits", "waits", full)
	more := join(q, ask("b"), ask("c"), ask("d"), ask("b"))
	wantStates(t, all, "in", "waits", full, full, full)
	wantStates(t, more, "waits", "waits", full, full)

	sessions := newQueue(config.Proxy{MaxConnections: 1, QueueLimit: 2})
	quiet := &ticket{person: "a", session: "quiet"}
	all = join(sessions, ask("a"), ask("a"), ask("a"), quiet)
	wantStates(t, all, "in", "waits", full, "waits")
}

func TestQueueCapsEachPerson(t *testing.T) {
	q := newQueue(config.Proxy{MaxConnections: 4, MaxConnectionsPerPerson: 1, QueueLimit: 9})
	allowed := func() *ticket { return &ticket{person: "allowed", share: access.Share{MaxRequests: 2}} }
	all := join(q, ask("a"), ask("a"), ask("b"), allowed(), allowed(), allowed())
	wantStates(t, all, "in", "waits", "in", "in", "in", "waits")
	if next := q.next(); next != nil {
		t.Errorf("next is %s, though both wait for requests of their own", next.person)
	}
	q.leave(all[2])
	wantStates(t, all, "in", "waits", "in", "in", "in", "waits")
	q.leave(all[0])
	q.leave(all[3])
	wantStates(t, all, "in", "in", "in", "in", "in", "in")
	q.resize(config.Proxy{MaxConnections: 9, MaxConnectionsPerPerson: 1})
	if err := join(q, ask("a"))[0].err; err == nil || !strings.HasPrefix(err.Error(), "you have reached your limit") {
		t.Errorf("with free slots, a request beyond the limit of its person and of the queue got: %v", err)
	}
}

// The limit of a request is that of the peer that sent it, whatever the person's other peers have.
func TestQueueCapsByPeer(t *testing.T) {
	q := newQueue(config.Proxy{MaxConnections: 9, QueueLimit: 9})
	capped := func() *ticket { return &ticket{person: "a", session: "direct", share: access.Share{MaxRequests: 2}} }
	through := func() *ticket { return &ticket{person: "a", session: "gateway"} }
	all := join(q, capped(), capped(), capped(), through(), capped())
	wantStates(t, all, "in", "in", "waits", "in", "waits")
	q.leave(all[0])
	wantStates(t, all, "in", "in", "waits", "in", "waits")
	q.leave(all[1])
	wantStates(t, all, "in", "in", "in", "in", "waits")
}

func TestQueueIsResizedInPlace(t *testing.T) {
	l := config.Proxy{MaxConnections: 1, QueueLimit: 9, MaxConnectionsPerPerson: 1}
	q := newQueue(l)
	all := join(q, ask("a"), ask("b"), ask("b"), ask("c"), ask("d"))
	l.MaxConnections = 3
	q.resize(l)
	wantStates(t, all, "in", "in", "waits", "in", "waits")
	l.MaxConnections, l.QueueLimit = 1, 0
	q.resize(l)
	q.leave(all[0])
	q.leave(all[1])
	wantStates(t, all, "in", "in", "waits", "in", "waits")
	l.MaxConnections, l.MaxConnectionsPerPerson = 9, 0
	q.resize(l)
	wantStates(t, all, "in", "in", "in", "in", "in")
}

// entrant is a request that enters a queue in a goroutine of its own.
type entrant struct {
	ticket *ticket
	cancel context.CancelFunc
	done   chan error
}

// enterQueue returns once the request is admitted or waits.
func enterQueue(t *testing.T, q *queue, person string) *entrant {
	ctx, cancel := context.WithCancel(t.Context())
	e := &entrant{ticket: ask(person), cancel: cancel, done: make(chan error, 1)}
	go func() { e.done <- q.enter(ctx, e.ticket, func() {}) }()
	synctest.Wait()
	return e
}

func TestQueueTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(config.Proxy{MaxConnections: 1, QueueLimit: 1, QueueTimeout: time.Minute})
		enterQueue(t, q, "a")
		second, start := enterQueue(t, q, "b"), time.Now()
		if err := <-second.done; !strings.Contains(err.Error(), "no slot became free for this request within 1m0s") || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if in, waiting := q.counts(); in != 1 || waiting != 0 {
			t.Errorf("%d in, %d waiting after the timeout", in, waiting)
		}
		q.resize(config.Proxy{MaxConnections: 2, MaxConnectionsPerPerson: 1, QueueLimit: 1, QueueTimeout: time.Minute})
		if err := <-enterQueue(t, q, "a").done; !strings.Contains(err.Error(), "you have reached your limit of requests in flight") {
			t.Errorf("the limit of a person: %v", err)
		}
	})
}

func TestQueueSlotOfOneThatLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(config.Proxy{MaxConnections: 1, QueueLimit: 2, QueueTimeout: time.Minute})
		first, second, third := enterQueue(t, q, "a"), enterQueue(t, q, "b"), enterQueue(t, q, "c")
		second.cancel()
		if err := <-second.done; !errors.Is(err, context.Canceled) {
			t.Errorf("left with %v", err)
		}
		fourth := enterQueue(t, q, "d")
		q.leave(first.ticket)
		if err := <-third.done; err != nil {
			t.Errorf("the next one: %v", err)
		}
		wantStates(t, []*ticket{fourth.ticket}, "waits")
		fourth.cancel()
		if err := <-fourth.done; !errors.Is(err, context.Canceled) {
			t.Errorf("the fourth left with %v", err)
		}
	})
}

// A request can get a slot at the moment in which its client leaves.
func TestQueueQuitAfterAdmission(t *testing.T) {
	q, holder := oneSlot(config.Proxy{})
	all := join(q, ask("a"), ask("b"), ask("c"))
	q.leave(holder)
	if err := q.quit(all[0], context.Canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("admitted and left: %v", err)
	}
	wantStates(t, all[1:], "in", "waits")
}

// BenchmarkQueue is a request that finds a slot, and one that waits while others do.
func BenchmarkQueue(b *testing.B) {
	limits := config.Proxy{MaxConnections: 1, QueueLimit: 1000, QueueTimeout: time.Minute}
	b.Run("alone", func(b *testing.B) {
		q, t := newQueue(limits), ask("a")
		b.ReportAllocs()
		for b.Loop() {
			_ = q.enter(b.Context(), t, nil)
			q.leave(t)
		}
	})
	for _, others := range []int{0, 10, 900} {
		b.Run(fmt.Sprintf("among %d", others), func(b *testing.B) {
			q, holder := newQueue(limits), ask("x")
			join(q, holder)
			for i := range others {
				join(q, ask(fmt.Sprint(i)))
			}
			b.ReportAllocs()
			for b.Loop() {
				join(q, ask(holder.person))
				next := q.root.next(q.mayServe)
				q.leave(holder)
				holder = next
			}
		})
	}
}
