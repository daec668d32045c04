package proxy

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
)

// errQueueFull and errQueueTimeout are why a request was not admitted.
var (
	errQueueFull    = errors.New("queue is full")
	errQueueTimeout = errors.New("no slot became free in time")
)

// queue admits requests, as many at a time as its limits say. Those that wait get slots in turn, by
// person and for each person by session (turns.go). A person with all the slots that they may have
// is passed over, not waited for. So whenever a slot is free, only such persons wait.
type queue struct {
	mu       sync.Mutex
	limits   config.Proxy
	in       int            // requests admitted
	held     map[string]int // the same, by person
	all      line           // of the persons who wait
	arrivals uint64         // requests that had to wait, so far
}

// ticket is a request in front of the queue, and at most once in it.
type ticket struct {
	person  string // see access.Identity.Key
	session string // of the person; empty: they name none
	share   access.Share

	line    *line         // of its session while it waits, else nil
	element *list.Element // in that line
	settled chan struct{} // closed once it is admitted or refused; nil: it need not wait
	err     error         // why it was refused; set before settled is closed
}

func newQueue(limits config.Proxy) *queue {
	return &queue{limits: limits, held: make(map[string]int)}
}

// resize puts new limits in force. Who is in stays in, and who waits keeps waiting.
func (q *queue) resize(limits config.Proxy) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limits = limits
	for _, person := range q.all.largest {
		q.passOver(person)
	}
	q.admitWaiting()
}

// enter waits for a slot. Each nil must be followed by one leave. wait is called once if there is a
// wait at all.
func (q *queue) enter(ctx context.Context, t *ticket, wait func()) error {
	timeout, settled := q.join(t)
	if settled {
		return t.err
	}
	wait()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-t.settled:
		return t.err
	case <-ctx.Done():
		return q.quit(t, context.Cause(ctx))
	case <-timer.C:
		return q.quit(t, errQueueTimeout)
	}
}

// join admits t, or has it wait; settled reports whether it need not. In a full queue, the newest
// request of whoever has most waiting gives way.
func (q *queue) join(t *ticket) (timeout time.Duration, settled bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.in < q.limits.MaxConnections && q.all.lines[t.person] == nil && q.mayHold(t.person, t.share) {
		q.take(t.person)
		return 0, true
	}
	t.settled = make(chan struct{})
	q.passOver(q.push(t))
	q.admitWaiting()
	if q.all.waiting > q.limits.QueueLimit {
		last := q.all.last()
		last.err = errQueueFull
		q.settle(last)
	}
	return q.limits.QueueTimeout, t.line == nil
}

// quit ends the wait of t because of err, unless that has just ended.
func (q *queue) quit(t *ticket, err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case t.line != nil:
		q.remove(t)
		return err
	case t.err != nil || errors.Is(err, errQueueTimeout):
		return t.err
	}
	q.release(t.person)
	return err
}

// leave gives the slot of t to the request whose turn it is.
func (q *queue) leave(t *ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.release(t.person)
}

func (q *queue) release(person string) {
	q.in--
	if q.held[person]--; q.held[person] == 0 {
		delete(q.held, person)
	}
	if who := q.all.lines[person]; who != nil {
		q.passOver(who)
	}
	q.admitWaiting()
}

func (q *queue) take(person string) {
	q.in++
	q.held[person]++
}

// mayHold reports whether person may have one more slot.
func (q *queue) mayHold(person string, share access.Share) bool {
	most := cmp.Or(share.MaxRequests, q.limits.MaxConnectionsPerPerson)
	return most == 0 || q.held[person] < most
}

// passOver gives a person turns if they may have one more slot, else none.
func (q *queue) passOver(person *line) { person.takeTurns(q.mayHold(person.name, person.share)) }

func (q *queue) admitWaiting() {
	for q.in < q.limits.MaxConnections {
		t := q.all.next()
		if t == nil {
			return
		}
		q.take(t.person)
		t.line.served()
		t.line.parent.served()
		q.passOver(t.line.parent)
		q.settle(t)
	}
}

func (q *queue) settle(t *ticket) {
	q.remove(t)
	close(t.settled)
}

// counts says how many requests are in and how many wait.
func (q *queue) counts() (in, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.in, q.all.waiting
}

// turns numbers the requests that wait for a slot, not for others of their person; 1 is next.
func (q *queue) turns() map[*ticket]int {
	q.mu.Lock()
	defer q.mu.Unlock()
	turns := make(map[*ticket]int, q.all.waiting)
	for i, t := range q.all.order() {
		turns[t] = i + 1
	}
	return turns
}

func (q *queue) inForce() config.Proxy {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.limits
}
