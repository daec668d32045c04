package proxy

import (
	"container/list"
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"oauth-proxyd/internal/config"
)

// errQueueFull and errQueueTimeout are why a request was not admitted.
var (
	errQueueFull    = errors.New("queue is full")
	errQueueTimeout = errors.New("no slot became free in time")
)

// queue admits requests in the order in which they came, as many at a time as its limits say. A
// client that has all the slots it may have is passed over, not waited for.
type queue struct {
	mu      sync.Mutex
	limits  config.Proxy
	in      int                // requests admitted
	clients map[netip.Addr]int // the same, by client
	waiting list.List          // of *ticket, the oldest first
}

// ticket is one waiting request.
type ticket struct {
	client   netip.Addr
	admitted chan struct{} // closed on admission, under the queue's lock
	element  *list.Element // nil once admitted
}

func newQueue(limits config.Proxy) *queue {
	return &queue{limits: limits, clients: make(map[netip.Addr]int)}
}

// resize puts new limits in force. Who is in stays in.
func (q *queue) resize(limits config.Proxy) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limits = limits
	q.admitWaiting()
}

// enter waits for a slot. Each nil must be followed by one leave. wait is called once if there is a
// wait at all.
func (q *queue) enter(ctx context.Context, client netip.Addr, wait func()) error {
	q.mu.Lock()
	if q.fits(client) { // then nobody who waits does: all who fitted were admitted
		q.take(client)
		q.mu.Unlock()
		return nil
	}
	if q.waiting.Len() >= q.limits.QueueLimit {
		q.mu.Unlock()
		return errQueueFull
	}
	t := &ticket{client: client, admitted: make(chan struct{})}
	t.element = q.waiting.PushBack(t)
	timeout := q.limits.QueueTimeout
	q.mu.Unlock()
	wait()
	return q.await(ctx, t, timeout)
}

func (q *queue) await(ctx context.Context, t *ticket, timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	var err error
	select {
	case <-t.admitted:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		err = errQueueTimeout
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.element != nil {
		q.waiting.Remove(t.element)
		return err
	}
	if errors.Is(err, errQueueTimeout) {
		return nil // admitted in the same moment
	}
	q.release(t.client)
	return err
}

// leave gives the slot to whoever has waited longest.
func (q *queue) leave(client netip.Addr) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.release(client)
}

func (q *queue) release(client netip.Addr) {
	q.in--
	if q.clients[client]--; q.clients[client] == 0 {
		delete(q.clients, client)
	}
	q.admitWaiting()
}

func (q *queue) fits(client netip.Addr) bool {
	return q.in < q.limits.MaxConnections &&
		(q.limits.MaxConnectionsPerClient == 0 || q.clients[client] < q.limits.MaxConnectionsPerClient)
}

func (q *queue) take(client netip.Addr) {
	q.in++
	q.clients[client]++
}

func (q *queue) admitWaiting() {
	for e := q.waiting.Front(); e != nil && q.in < q.limits.MaxConnections; {
		next := e.Next()
		if t := e.Value.(*ticket); q.fits(t.client) {
			q.take(t.client)
			q.waiting.Remove(e)
			t.element = nil
			close(t.admitted)
		}
		e = next
	}
}

// counts says how many requests are in and how many wait.
func (q *queue) counts() (in, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.in, q.waiting.Len()
}

func (q *queue) inForce() config.Proxy {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.limits
}
