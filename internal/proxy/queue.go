package proxy

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
)

// queue gives slots to requests, as many as its limits allow. Waiting requests get slots in turn,
// by person, and for each person by session (turns.go). A person who has all the slots they may
// have is passed over: while a slot is free, only requests of such people wait.
type queue struct {
	mu     sync.Mutex
	limits config.Proxy
	in     int            // requests with a slot
	held   map[string]int // the same, by person
	root   node           // of the tree of waiting requests
}

// ticket is a request for a slot. It enters the queue at most once.
type ticket struct {
	person  string // see access.Identity.Key
	session string // of the person; may be empty
	share   access.Share

	node    *node         // of its session while it waits; nil otherwise
	in      bool          // it has a slot
	settled chan struct{} // closed when it has a slot or is refused; nil: it got a slot at once
	err     error         // why it was refused; set before settled is closed
}

func newQueue(limits config.Proxy) *queue {
	return &queue{limits: limits, held: make(map[string]int)}
}

// resize sets new limits. Requests with a slot keep it, and waiting ones keep waiting.
func (q *queue) resize(limits config.Proxy) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limits = limits
	q.admitWaiting()
}

// enter waits for a slot. Its error is a failure or the cause of ctx. The caller must call leave
// later. wait is called once if there is a wait.
func (q *queue) enter(ctx context.Context, t *ticket, wait func()) error {
	timeout, settled := q.join(t)
	if settled {
		return t.err
	}
	wait()
	select {
	case <-t.settled:
		return t.err
	case <-ctx.Done():
		return q.quit(t, context.Cause(ctx))
	case <-time.After(timeout):
		q.mu.Lock()
		why := q.obstacle(t)
		q.mu.Unlock()
		return q.quit(t, fail(CodeOverloaded, nil,
			"no slot became free for this request within %v, because %s; send it again later", timeout, why))
	}
}

// obstacle says why t has no slot yet. The caller holds mu.
func (q *queue) obstacle(t *ticket) string {
	if !q.mayHold(t.person, t.share) {
		return "you have reached your limit of requests in flight"
	}
	return "too many requests are in flight"
}

// join gives t a slot, or makes it wait; settled reports whether it got or was refused one at once.
// If the queue is too long, the newest request of the person with most waiting ones is refused.
func (q *queue) join(t *ticket) (timeout time.Duration, settled bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.in < q.limits.MaxConnections && q.root.child(t.person) == nil && q.mayHold(t.person, t.share) {
		q.take(t)
		return 0, true
	}
	t.settled = make(chan struct{})
	q.push(t)
	q.admitWaiting()
	if q.root.waiting > q.limits.QueueLimit {
		last, advice := q.root.last(), "send it again later"
		if last.node.parent.waiting > 1 {
			advice = "you have the most requests waiting; send fewer at a time"
		}
		last.err = fail(CodeOverloaded, nil, "%s, and the queue is full with %d requests; %s",
			q.obstacle(last), q.limits.QueueLimit, advice)
		q.settle(last)
	}
	return q.limits.QueueTimeout, t.node == nil
}

// quit ends the wait of t with err, unless it was refused just now. A slot that it has just got is
// given back.
func (q *queue) quit(t *ticket, err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case t.node != nil:
		q.remove(t)
		q.admitWaiting() // the next of its session may have a higher limit
	case t.err != nil:
		return t.err
	default:
		q.release(t)
	}
	return err
}

// leave gives the slot of t, if it has one, to the next request.
func (q *queue) leave(t *ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.in {
		q.release(t)
	}
}

func (q *queue) release(t *ticket) {
	t.in = false
	q.in--
	if q.held[t.person]--; q.held[t.person] == 0 {
		delete(q.held, t.person)
	}
	q.admitWaiting()
}

func (q *queue) take(t *ticket) {
	t.in = true
	q.in++
	q.held[t.person]++
}

// mayHold reports whether person may have one more slot.
func (q *queue) mayHold(person string, share access.Share) bool {
	most := cmp.Or(share.MaxRequests, q.limits.MaxConnectionsPerPerson)
	return most == 0 || q.held[person] < most
}

// mayServe reports whether a session may get a slot for its oldest request, or a person for one of
// their sessions. Each request has the limit of the peer that sent it, because a person may come
// through a gateway as well.
func (q *queue) mayServe(n *node) bool {
	if n.parent == &q.root {
		return slices.ContainsFunc(n.children, q.mayServe)
	}
	return q.mayHold(n.parent.name, n.requests[0].share)
}

func (q *queue) admitWaiting() {
	for q.in < q.limits.MaxConnections {
		t := q.root.next(q.mayServe)
		if t == nil {
			return
		}
		q.take(t)
		t.node.served()
		t.node.parent.served()
		q.settle(t)
	}
}

func (q *queue) settle(t *ticket) {
	q.remove(t)
	close(t.settled)
}

func (q *queue) counts() (in, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.in, q.root.waiting
}

// next returns the waiting request that gets the next slot, or nil if none may get one.
func (q *queue) next() *ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.root.next(q.mayServe)
}
